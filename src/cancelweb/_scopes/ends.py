"""What the end of one piece of work means to its scope: what is noted, and who has the result.

That the scope may then go on is for `life`.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from .._kinds.cancellations import clean, is_our_cancellation
from .parts import Subject
from .record import Record
from .work import Work
from .work_set import WorkSet


def work_ended(
    scope: Subject, record: Record, works: WorkSet, work: Work, result: object
) -> object:
    """Work has ended, in a scope that is open.

    Args:
        scope: may have been cancelled, or may have had leftover work stopped; then a cancellation
            that any of its work ends with is its own.
        record: its record.
        works: all its work.
        work: what has ended.
        result: what it has come to.

    Returns:
        What is left of the result for the next callback.
    """
    is_ours = is_our_cancellation(result, scope.life.has_asked)
    if not is_ours or work.is_returned:
        # Otherwise the work is held, lest Twisted log a cancellation that nothing has handled.
        works.drop(work)
    if isinstance(result, Failure) and (is_ours or not work.is_returned):
        record.note(result, is_leftover=is_ours and scope.cause is None)
    if work.arrived is None:
        return result
    _arrived(work.arrived, result, is_ours)
    return None


def _arrived(arrived: Callable[[object], object], result: object, is_ours: bool) -> None:
    """What a handler returned has ended: the result is the response, but for our cancellation."""
    if is_ours:
        assert isinstance(result, Failure)
        clean(result)
    else:
        arrived(result)

"""The end of one piece of work: record how it ended, and pass its result on.

`life` decides whether the scope then enters another state.
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
    """Handle the end of work in a scope that has not closed.

    Args:
        scope: the scope. Once it has asked any work to stop, every cancellation of its work counts
            as its own.
        record: the record of the scope.
        works: all work of the scope.
        work: the work that has ended.
        result: the result of the work.

    Returns:
        The result for the next callback.
    """
    is_ours = is_our_cancellation(result, scope.life.has_asked)
    if not is_ours or work.is_returned:
        # Other work is kept, because Twisted would log its unhandled cancellation.
        works.drop(work)
    if isinstance(result, Failure) and (is_ours or not work.is_returned):
        record.note(result, is_leftover=is_ours and scope.cause is None)
    if work.arrived is None:
        return result
    _arrived(work.arrived, result, is_ours)
    return None


def _arrived(arrived: Callable[[object], object], result: object, is_ours: bool) -> None:
    """Use the result of returned work as the response, unless it is our own cancellation."""
    if is_ours:
        assert isinstance(result, Failure)
        clean(result)
    else:
        arrived(result)

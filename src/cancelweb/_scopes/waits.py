"""A wait for work that is not cut when the code that waits is cancelled.

What the work is, and whether it goes on, is for `shield`, `shared` and whatever else has waits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .._kinds.cancellations import clean, is_cancellation
from .._kinds.handling import in_place_of_cancellation

R = TypeVar("R")


@define(eq=False)
class Wait(Generic[R]):
    """A wait for work, whose cancellation can be held up until the work has ended.

    Twisted errbacks a cancelled Deferred whatever its canceller does; so it is paused meanwhile.

    Attributes:
        cancelled: called with the wait, once, when it is cancelled. Then `end` it.
        deferred: what the user awaits; None once the wait has ended, lest there be a cycle.
    """

    cancelled: Callable[[Wait[R]], object]
    deferred: Deferred[R] | None = field(init=False)
    _context: Context = field(factory=copy_context)
    _is_held: bool = False
    _failure: Failure | None = None

    def __attrs_post_init__(self) -> None:
        self.deferred = Deferred(self._cancel)
        self.deferred.addErrback(lambda failure: self._failure or failure)

    def _cancel(self, deferred: Deferred[R]) -> None:
        self._is_held = True
        deferred.pause()
        self.cancelled(self)

    def end(self, result: Any) -> None:
        """Tell the code that waits, in its own context; the wait has not ended before.

        Code that has cancelled gets a CancelledError in place of a result, but a failure as it is.
        """
        waiting, self.deferred = self.deferred, None
        assert waiting is not None
        if self._is_held:
            if isinstance(result, Failure):
                self._failure = in_place_of_cancellation(result)
                if is_cancellation(result):
                    # It is raised once more; its frames would keep alive what they awaited.
                    clean(result)
            self._context.run(waiting.unpause)
        else:
            self._context.run(waiting.callback, result)

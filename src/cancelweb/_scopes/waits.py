"""Wait for work that may go on although the code that waits is cancelled.

`shield` and `shared` decide whether the work goes on.
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
    """A wait for work. Its cancellation can be delayed until the work has ended.

    Twisted errbacks a cancelled Deferred whatever its canceller does, so the Deferred is paused
    until then.

    Attributes:
        cancelled: called once with the wait when it is cancelled; it must lead to a call of `end`.
        deferred: the Deferred that the user awaits; None once the wait has ended, as the two would
            form a cycle.
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
        """Resume the code that waits, in its own context. Call this once.

        Code that was cancelled gets a CancelledError instead of a result, but a failure unchanged.
        """
        waiting, self.deferred = self.deferred, None
        assert waiting is not None
        if self._is_held:
            if isinstance(result, Failure):
                self._failure = in_place_of_cancellation(result)
                if is_cancellation(result):
                    # It is raised again, and its frames would keep alive the work they awaited.
                    clean(result)
            self._context.run(waiting.unpause)
        else:
            self._context.run(waiting.callback, result)

"""One function call in a thread, and the Deferred that fires when the thread is free again.

Does not know what the function does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from threading import Lock, current_thread
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from .._kinds.cancellations import clean, is_cancellation
from .._kinds.handling import in_place_of_cancellation
from .._kinds.where import Place, place
from .._scopes.context import was_asked


@define(eq=False)
class ThreadCall:
    """A call that can be cancelled. It then never begins, or if it runs, `is_cancelled` tells it.

    Attributes:
        reactor: the Deferred fires in this reactor's thread.
        is_cancelled: set in the reactor's thread, and read in any.
    """

    reactor: Any
    is_cancelled: bool = field(default=False, init=False)
    _function: Callable[[], Any] | None = field(default=None, init=False)
    _claim: Lock = field(factory=Lock, init=False)
    """Acquired once and never released: by the thread that begins the call, or by the cancel."""
    _place: Place = field(factory=lambda: Place("a thread that has not begun"), init=False)
    _is_over: bool = field(default=False, init=False)
    _waiting: Deferred[Any] | None = field(default=None, init=False)

    def start(
        self, pool: Any, function: Callable[..., Any], *args: Any, **kw: Any
    ) -> Deferred[Any]:
        """Queue the call, with the caller's context variables.

        Args:
            pool: a `twisted.python.threadpool.ThreadPool`.
            function: what to call.
            *args: its positional arguments.
            **kw: its keyword arguments.

        Returns:
            A Deferred that fires with what the function returned or raised. Cancelled before the
            function has begun, it fails with CancelledError at once. Cancelled later, it fires when
            the function has ended: with CancelledError, or with what the function raised.
        """
        self._function = partial(function, *args, **kw)
        waiting = self._wait()
        pool.callInThreadWithCallback(self._ended, copy_context().run, self.run)
        return waiting

    def stop(self) -> None:
        """Called in the reactor's thread when a call that runs is cancelled for the first time."""

    def late(self, result: Any) -> Exception:
        """The exception to fail with if the function returned although the call was cancelled."""
        return CancelledError()

    def run(self) -> Any:
        """Call the function, in the thread, unless the call was cancelled before."""
        if not self._claim.acquire(blocking=False):
            return None
        function: Any = self._function
        self._function = None
        thread = current_thread()
        self._place.text = f"thread {thread.native_id} ({thread.name})"
        current_call.set(self)
        was_asked.set(lambda: self.is_cancelled)
        return function()

    def _ended(self, success: bool, result: Any) -> None:
        # This runs in the thread. The thread pool's own frame refers to the failure, which refers
        # to that frame: without this, only the garbage collector would free what the frames hold.
        if self.is_cancelled and isinstance(result, Failure) and is_cancellation(result):
            clean(result)
        self.reactor.callFromThread(self._settle, result)

    def _settle(self, result: Any) -> None:
        waiting, self._waiting = self._waiting, None
        if self._is_over or waiting is None:
            return
        self._is_over = True
        if self.is_cancelled:
            is_failure = isinstance(result, Failure)
            result = in_place_of_cancellation(result if is_failure else Failure(self.late(result)))
        waiting.callback(result)

    def _wait(self) -> Deferred[Any]:
        self._waiting = Deferred(self._cancel)
        place(self._waiting, self._place)
        return self._waiting.addBoth(self._fired)

    def _fired(self, result: Any) -> Any:
        # A cancelled Deferred fires at once, but the thread may still be busy: wait again.
        return result if self._is_over else self._wait()

    def _cancel(self, _: Deferred[Any]) -> None:
        if self._claim.acquire(blocking=False):
            self._is_over, self._function, self._waiting = True, None, None
        elif not self.is_cancelled:
            self.is_cancelled = True
            self.stop()


current_call: ContextVar[ThreadCall | None] = ContextVar("cancelweb_thread_call", default=None)
"""The call that runs in this thread, or None."""

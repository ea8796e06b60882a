"""One function call in a thread, and the Deferred that settles when the thread is free again.

Knows reactors, thread pools and contexts; nothing of scopes, and nothing of what the function does.
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
    """A call that may be cancelled: before it begins, it never does; after that, it is told.

    Attributes:
        reactor: whose thread the Deferred is fired in.
        is_cancelled: written in the reactor's thread, read in any.
    """

    reactor: Any
    is_cancelled: bool = field(default=False, init=False)
    _function: Callable[[], Any] | None = field(default=None, init=False)
    _claim: Lock = field(factory=Lock, init=False)
    """Taken once, and never given back: by the thread that begins, or else by the cancel."""
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
            *args: what to call it with.
            **kw: and by name.

        Returns:
            A Deferred that fires with what the function returned or raised. Cancelled, it fires at
            once if the function has not begun, else when that has come to its end: then, too, it
            fails with CancelledError, unless the function has raised something else.
        """
        self._function = partial(function, *args, **kw)
        waiting = self._wait()
        pool.callInThreadWithCallback(self._ended, copy_context().run, self._run)
        return waiting

    def stop(self) -> None:
        """The call runs, and was cancelled for the first time; called in the reactor's thread."""

    def late(self, result: Any) -> Exception:
        """What to fail with, where the function returned although the call was cancelled."""
        return CancelledError()

    def _run(self) -> Any:
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
        # Called in the thread. The thread pool's own frame refers to the failure that refers to it,
        # so that only the garbage collector would free what these frames hold.
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
        # Twisted fires a Deferred that is cancelled; the thread may not be free yet.
        return result if self._is_over else self._wait()

    def _cancel(self, _: Deferred[Any]) -> None:
        if self._claim.acquire(blocking=False):
            self._is_over, self._function, self._waiting = True, None, None
        elif not self.is_cancelled:
            self.is_cancelled = True
            self.stop()


current_call: ContextVar[ThreadCall | None] = ContextVar("cancelweb_thread_call", default=None)
"""The call that runs in this thread."""

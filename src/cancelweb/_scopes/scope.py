"""The class `Scope`, with the methods and attributes that users have.

`life` handles the events of a scope. A scope knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from inspect import currentframe
from typing import Any, TypeVar, overload

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .._kinds.registry import canceller_for
from ..causes import Cause, ResponseFinished, ScopeCancelled
from .acquire import Acquisition
from .bare import BareSubject, refuse_to_set
from .checks import check_cause
from .context import current, was_asked
from .found_context import find_context
from .hook_checks import check_callable, check_hook
from .hooks import hook_here
from .limits import deadline_of, remaining_of, set_timeout
from .own_thread import check_thread
from .tracking import track

R = TypeVar("R")
T = TypeVar("T")
HookT = TypeVar("HookT", bound=Callable[["Scope"], object])


class Scope(BareSubject):
    """The lifetime of one request.

    Get it with `current_scope` or `scope_of`. Use it in the reactor's thread only, except `check`,
    `cause`, `deadline` and `remaining`, which any thread may use; in another thread, other methods
    raise a RuntimeError. All other names are private, and are not protected. Setting a public one,
    or one that a scope does not have, raises AttributeError.

    Attributes:
        request (~twisted.web.server.Request | None): the request; None once the scope has closed.
        cause: why the scope was cancelled, or None.
    """

    __slots__ = ()

    @property
    def failure(self) -> Failure | None:
        """The first failure that is not a cancellation, for hooks; None on a closed scope."""
        return None if self._life is None else self._life.record.failure

    @overload
    def track(self, work: Coroutine[Any, Any, R]) -> Deferred[R]: ...

    @overload
    def track(self, work: T) -> T: ...

    def track(self, work: Any) -> Any:
        """Stop this work when the scope is cancelled, or when the response is finished.

        Add callbacks to a Deferred before you track it. Its result still belongs to your code. Work
        that is tracked twice, or tracked and returned, is stopped once.

        Args:
            work: anything that a handler may return, except streams and templates. On a scope that
                has been cancelled or has closed, it is asked to stop at once. Work that a cleanup
                hook tracks may run as long as the hooks do.

        Returns:
            The work itself. A coroutine or another awaitable is started; for it, this returns the
            Deferred of its result.

        Raises:
            TypeError: cancelweb cannot stop this kind; the message says how to add a canceller.
            RuntimeError: ``work`` is an asyncio future whose event loop does not run, or a
                LoopingCall that was never started.
        """
        check_thread(self, "scope.track")
        return track(self, work)

    def on_cancel(self, hook: HookT) -> HookT:
        """Call the hook with the scope if it is cancelled, once no work is waited for any more.

        Hooks run one at a time, the newest first. If a hook returns work, such as a Deferred or a
        coroutine, the next hook waits for it. All hooks share ``cleanup_timeout`` seconds; then the
        remaining hooks are called but not waited for. An exception in a hook is logged.

        Args:
            hook: the function. A closed scope, whose `request` is None, calls it at once if it was
                cancelled, and never otherwise.

        Returns:
            The hook, so that this method can be a decorator.

        Raises:
            TypeError: ``hook`` cannot be called with the scope.
        """
        check_hook("on_cancel", hook)
        check_thread(self, "scope.on_cancel")
        find_context(self, currentframe())
        self.life.hooks.add(hook, for_cancelled=True)
        return hook

    def on_exit(self, hook: HookT) -> HookT:
        """Call the hook with the scope when the scope ends, cancelled or not.

        `on_cancel` has the details. A closed scope calls the hook at once. If the handler returns
        its result at once, the hook is called before Twisted writes the response.
        """
        check_hook("on_exit", hook)
        check_thread(self, "scope.on_exit")
        find_context(self, currentframe())
        self.life.hooks.add(hook, for_cancelled=False)
        return hook

    def withdraw(self, hook: Callable[[Scope], object]) -> bool:
        """Remove a hook that has nothing left to clean up.

        Args:
            hook: the hook, or an equal one. If it was added twice, the newer one is removed.

        Returns:
            Whether the hook was removed; False if it was never added or was already called.

        Raises:
            TypeError: ``hook`` is not callable.
        """
        check_callable("withdraw", hook)
        check_thread(self, "scope.withdraw")
        return self._life is not None and self._life.hooks.withdraw(hook)

    def acquire(
        self, source: Awaitable[T] | Future[T], release: Callable[[T], object]
    ) -> Deferred[T]:
        """Wait for a resource, and release it if it arrives after the cancel.

        Args:
            source: a Deferred, a coroutine, or other work that results in the resource, such as a
                connection or a file. It is never cancelled, because Twisted drops the late result
                of a cancelled Deferred.
            release: called with a resource that arrives too late; may return a Deferred.

        Returns:
            A Deferred that fires with the resource. From then on your code must release it, so
            await the Deferred at once. It fails as ``source`` does, or with CancelledError if it or
            the scope is cancelled.

        Raises:
            TypeError: ``source`` is not such work, or ``release`` is not callable.
        """
        check_thread(self, "scope.acquire")
        self.track(acquisition := Acquisition(canceller_for(source), release))
        return acquisition.start()

    def note(self, **facts: object) -> None:
        """Add facts, such as a user's name, to the outcome and to the event of the log line.

        Args:
            **facts: facts by name; a later one replaces an earlier one. Observers may keep them, so
                do not pass the request. On a closed scope they are dropped.
        """
        check_thread(self, "scope.note")
        record = self.life.record
        record.notes = {**(record.notes or {}), **facts}

    def cancel(self, cause: Cause) -> bool:
        """Cancel the scope: ask all its work to stop, and answer a client that still waits.

        A running coroutine cannot be interrupted. So if code of the handler is on the stack,
        `cause` is set at once, and the work is asked to stop in the next reactor turn.

        Args:
            cause: why. Its ``status`` is the status of the answer.

        Returns:
            Whether this call cancelled the scope. False if it was already cancelled, if its
            response is finished, and in a dry run.

        Raises:
            TypeError: ``cause`` is not a `Cause`.
        """
        check_cause(cause)
        check_thread(self, "scope.cancel")
        self.catch_up()
        return self.life.stop(cause)

    def check(self) -> None:
        """Raise `ScopeCancelled` if the scope has been cancelled.

        In leftover work that was asked to stop, raise it with `ResponseFinished` as the cause. This
        works in its coroutines, generators, calls of ``cancelweb.threads`` and, from Python 3.12
        on, asyncio tasks. It does not raise in the work that the handler returned, which goes on.
        """
        if self.cause is not None:
            raise ScopeCancelled(self.cause)
        if current.get() is self and was_asked.get()() and hook_here.get() is None:
            raise ScopeCancelled(ResponseFinished())

    def limit(self, seconds: float | None) -> None:
        """Replace ``timeout`` with this many seconds, counting from now; None lifts it.

        Raises TypeError or ValueError unless ``seconds`` is a finite number above 0, or None.
        """
        check_thread(self, "scope.limit")
        set_timeout(self, seconds)

    @property
    def deadline(self) -> float | None:
        """When a limit will cancel the scope, in seconds on its clock, or None; see `remaining`."""
        return deadline_of(self)

    def remaining(self) -> float | None:
        """Seconds until ``timeout`` or ``total_timeout`` cancels the scope; 0 if that is over.

        None if no limit can cancel the scope, as in a dry run. Once part of the response has been
        sent, only ``total_timeout`` counts.
        """
        return remaining_of(self)


refuse_to_set(Scope)

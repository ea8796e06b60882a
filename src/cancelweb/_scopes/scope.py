"""The scope as its users see it: its facts, and what they ask of it.

What happens in it, event by event, is in `life`. It knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from inspect import currentframe
from typing import Any, TypeVar, overload

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from .._kinds.registry import canceller_for
from ..causes import Cause, Ended, ResponseFinished, ScopeCancelled
from .acquire import Acquisition
from .checks import check_callable
from .context import current, was_asked
from .found_context import find_context
from .hooks import hook_here
from .life import Life
from .limits import deadline_of, remaining_of, set_timeout
from .options import Options
from .parts import BareSubject
from .states import State
from .tracking import track

R = TypeVar("R")
T = TypeVar("T")
HookT = TypeVar("HookT", bound=Callable[["Scope"], object])


class Scope(BareSubject):
    """The lifetime of one request.

    Get it with `current_scope` or `scope_of`. It is for the reactor's thread; any may use `check`,
    `cause`, `deadline` and `remaining`. What is not documented here belongs to the package.

    Attributes:
        request: the request; None once the scope has closed.
        cause: why the scope was cancelled, or None.
    """

    _ended: Ended | None = None
    _life: Life | None

    def __init__(self, request: Any, options: Options, clock: IReactorTime) -> None:
        super().__init__(request, options, clock)
        self._life = None

    def __repr__(self) -> str:
        return f"<Scope of {self.request!r}, {self.state.name.lower()}, cause: {self.cause}>"

    @property
    def life(self) -> Life:
        """What is under way in it; once it has closed, a new one for whatever comes late."""
        if self._life is not None:
            return self._life
        life = Life(self)
        if self.state is not State.CLOSED:
            self._life = life
        return life

    @property
    def ended(self) -> Ended:
        """How its work has ended so far, and once it has closed, in the end. The worst counts."""
        if self._ended is not None:
            return self._ended
        if self._life is not None:
            return self._life.record.ended
        # Where there never was a life, only work that has stopped leaves a cause.
        was_stopped = self.state is State.CLOSED and self.cause is not None
        return Ended.STOPPED if was_stopped else Ended.COMPLETED

    @property
    def failure(self) -> Failure | None:
        """The first failure of its work that is no cancellation, for hooks; None once closed."""
        return None if self._life is None else self._life.record.failure

    @property
    def would_have_cancelled(self) -> Cause | None:
        """See `MonitoredScope`."""
        return None if self._life is None else self._life.record.would_have_cancelled

    def end(self) -> None:
        """See `Subject`."""
        self._ended = self._life.record.ended if self._life else self._ended
        self.request = self.context = self._life = None

    # --- what users ask for ---

    @overload
    def track(self, work: Coroutine[Any, Any, R]) -> Deferred[R]: ...

    @overload
    def track(self, work: T) -> T: ...

    def track(self, work: Any) -> Any:
        """Have the work stopped when the scope is cancelled, or when the response is finished.

        Track a Deferred after its own callbacks were added. Its result stays its owner's.

        Args:
            work: anything that a handler may return, but for streams and templates. On a scope
                that has been cancelled or closed it is stopped at once. In a cleanup hook it is
                left to run for as long as the hooks do.

        Returns:
            The work; for a coroutine or another awaitable, which is started, the Deferred of its
            result.

        Raises:
            TypeError: cancelweb does not know how to stop it; says how to register a canceller.
            RuntimeError: it is an asyncio future whose event loop does not run, or a LoopingCall
                that was never started.
        """
        return track(self, work)

    def on_cancel(self, hook: HookT) -> HookT:
        """Have the hook called with the scope if it is cancelled, once nothing is waited for.

        Hooks are run one at a time, the last first. One that returns a Deferred, a coroutine or any
        other work is waited for. All hooks of a scope together have ``cleanup_timeout`` seconds;
        after that the rest is called, but not waited for. What a hook raises is logged.

        Args:
            hook: on a closed scope, where `request` is None, it is called at once if the scope
                was cancelled, and else never.

        Returns:
            The hook, so that this serves as a decorator.

        Raises:
            TypeError: it cannot be called.
        """
        check_callable("on_cancel", hook)
        find_context(self, currentframe())
        self.life.hooks.add(hook, for_cancelled=True)
        return hook

    def on_exit(self, hook: HookT) -> HookT:
        """Have the hook called with the scope when it ends, however it ends.

        As `on_cancel`; called at once where the scope has closed already. Where a handler returns
        a result that needs no waiting, that is before Twisted writes the response.
        """
        check_callable("on_exit", hook)
        find_context(self, currentframe())
        self.life.hooks.add(hook, for_cancelled=False)
        return hook

    def withdraw(self, hook: Callable[[Scope], object]) -> bool:
        """Take a hook back, because there is nothing left for it to clean up.

        Args:
            hook: the hook, or one that equals it. If it was added twice, the newer is withdrawn.

        Returns:
            Whether it was there; it is not once it has been called.

        Raises:
            TypeError: it cannot be called, and so can be no hook.
        """
        check_callable("withdraw", hook)
        return self._life is not None and self._life.hooks.withdraw(hook)

    def acquire(
        self, source: Awaitable[T] | Future[T], release: Callable[[T], object]
    ) -> Deferred[T]:
        """Await a resource, and do not lose it if it arrives after the cancel.

        Args:
            source: a Deferred, a coroutine, or other work that comes to the resource, such as a
                connection or a file. It is never cancelled: Twisted drops the late result of a
                cancelled Deferred.
            release: called with a resource that came too late; may return a Deferred.

        Returns:
            A Deferred that fires with the resource, which is from then on the caller's to
            release, so await it at once; or fails as ``source`` did; or, when it is cancelled,
            with CancelledError.

        Raises:
            TypeError: ``source`` is no such work, or ``release`` cannot be called.
        """
        self.track(acquisition := Acquisition(canceller_for(source), release))
        return acquisition.start()

    def note(self, **facts: object) -> None:
        """Add facts to the outcome, and to the event of the log's line: a user's name, say.

        Args:
            **facts: by name; a later one replaces an earlier one of the same name. Observers may
                keep them, so do not give the request. On a closed scope they are told to nobody.
        """
        record = self.life.record
        record.notes = {**(record.notes or {}), **facts}

    def cancel(self, cause: Cause) -> bool:
        """Cancel the scope: ask all its work to stop, and answer a client that still waits.

        From inside the handler, or from code that its coroutine has just had resumed, the scope is
        marked at once, and the work is asked in the next turn of the reactor: a coroutine that runs
        cannot be interrupted.

        Args:
            cause: why. Its ``status`` is that of the answer.

        Returns:
            Whether this call cancelled it; it did not where the scope was cancelled before, where
            its response is finished, and in a dry run.

        Raises:
            TypeError: ``cause`` is not a `Cause`.
        """
        if not isinstance(cause, Cause):
            raise TypeError(f"cause must be a cancelweb.Cause or of a subclass, not {cause!r}")
        self.catch_up()
        return self.life.stop(cause)

    def check(self) -> None:
        """Raise `ScopeCancelled` if the scope has been cancelled.

        It also does, with `ResponseFinished` as the cause, in work that was asked to stop because
        the response is finished: in its coroutines, generators, calls of ``cancelweb.threads`` and,
        from Python 3.12 on, asyncio tasks; not in what the handler returned, which goes on.
        """
        if self.cause is not None:
            raise ScopeCancelled(self.cause)
        if current.get() is self and was_asked.get()() and hook_here.get() is None:
            raise ScopeCancelled(ResponseFinished())

    def limit(self, seconds: float | None) -> None:
        """Set ``timeout`` anew in a handler, counting from now; None lifts it. Checks the value."""
        set_timeout(self, seconds)

    @property
    def deadline(self) -> float | None:
        """When a limit will cancel it, on its clock, or None; see `remaining`."""
        return deadline_of(self)

    def remaining(self) -> float | None:
        """Seconds until the sooner of ``timeout`` and ``total_timeout``, 0 if it is over; or None.

        Once something is sent, only the latter counts.
        """
        return remaining_of(self)

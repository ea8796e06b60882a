"""Shield or detach work, so that a cancellation does not stop it at once.

To a scope, shielded work is work like any other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar, overload

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from .._kinds.cancellers import Canceller, OneShot, Settled
from .._kinds.registry import canceller_for, find_canceller
from .._kinds.where import named
from .._log import log
from ..interfaces import IMonitor
from .context import call_in, telling_of
from .finding import scope_or_none
from .own_thread import check_thread
from .scope import Scope
from .waits import Wait

P = ParamSpec("P")
R = TypeVar("R")


@define(eq=False)
class Shielded(OneShot):
    """Work that goes on when its scope is cancelled; the scope waits for it.

    Its result belongs to the code that awaits it, not to the scope.

    Attributes:
        scope: the scope, or None.
        above: the outer shield or the scope, which tracks work that is left when this has ended.
        work: the canceller of the work; None until the work has been started.
        is_over: whether the work has ended. Work that it has left running is no longer shielded.
    """

    scope: Scope | None
    above: Tracker | None = field(repr=False)
    work: Canceller | None = field(default=None, init=False)
    is_over: bool = field(default=False, init=False)
    _left: list[object] = field(factory=list, init=False, repr=False)

    def start(self, find: Callable[[], Canceller]) -> Canceller:
        """Find the canceller in a copy of the caller's context, which starts a coroutine there."""
        canceller = self.work = copy_context().run(self._start, find)
        return canceller

    def _start(self, find: Callable[[], Canceller]) -> Canceller:
        shielded_here.set(self)
        return find()

    def track(self, work: object) -> object:
        """Keep work until this has ended, then let the outer shield or the scope track it."""
        if not self.is_over:
            self._left.append(work)
        elif self.above is not None:
            self.above.track(work)
        return work

    def watch(self, settled: Settled) -> None:
        self._settled = settled

    def cancel(self) -> None:
        """Do nothing, because the work must run to its end."""

    def where(self) -> str:
        return self.describe() if self.work is None else self.work.where()

    def describe(self) -> str:
        return "shielded work" if self.work is None else f"shielded {self.work.describe()}"

    def over(self) -> None:
        """Handle the end of the work."""
        self.is_over = True
        left, self._left = self._left, []
        for work in left:
            self.track(work)
        self.settle(None)


shielded_here: ContextVar[Shielded | None] = ContextVar("cancelweb_shielded", default=None)
"""The shielded work that the running code is part of."""


Tracker = Scope | Shielded
"""A scope or shielded work; both can track work."""


def tracker_here() -> Tracker | None:
    """The shielded work or the scope that tracks work of the running code, or None."""
    scope, shielded = scope_or_none(), shielded_here.get()
    return shielded if shielded is not None and shielded.scope is scope else scope


def is_shielded(scope: Scope) -> bool:
    """Whether the running code is part of work that is shielded from this scope."""
    shielded = shielded_here.get()
    return shielded is not None and shielded.scope is scope and not shielded.is_over


@overload
def shield(work: Awaitable[R], /) -> Deferred[R]: ...


@overload
def shield(
    function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
) -> Deferred[R]: ...


@overload
def shield(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[R]: ...


@overload
def shield(work: object, /) -> Deferred[Any]: ...


def shield(work: object, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
    """Let work run to its end, even if the code that awaits it is cancelled meanwhile.

    The cancellation is only delayed: when the work has ended, the code that awaits it gets a
    CancelledError instead of the result. If the work fails, that code gets the failure; if it
    handles that, it goes on uncancelled. All other work of the scope is stopped without delay.

    The scope waits for shielded work before it runs its hooks, at most ``survivor_after`` seconds;
    then the work is named a survivor and runs on. A shield works in the same way on a scope that
    was cancelled before, and in code that runs for no request.

    Shielded work may start queries, processes, calls in threads and upstream requests in a
    cancelled scope. If the call itself starts one, pass the function: ``shield(pool.runQuery,
    sql)``.

    Args:
        work: anything that a scope can track; a coroutine is started in the context of the caller.
            Or a function, which is called inside the shield. It may be a coroutine function, return
            work, or return a plain result.
        *args: positional arguments of the function.
        **kwargs: keyword arguments of the function.

    Returns:
        A Deferred of the result. If the function raises, the Deferred fails.

    Raises:
        TypeError: cancelweb cannot track this kind of work; the message says how to register a
            canceller. Or arguments were passed without a function.
    """
    scope = scope_or_none()
    check_thread(scope, "shield")
    shielded = Shielded(scope, tracker_here())
    canceller = shielded.start(partial(_canceller_of, work, args, kwargs))
    wait: Wait[Any] = Wait(lambda _: None)
    waiting = wait.deferred
    if scope is not None:
        scope.track(shielded)

    def ended(result: Any) -> None:
        wait.end(result)
        shielded.over()

    canceller.watch(ended)
    assert waiting is not None
    return waiting


def _canceller_of(work: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Canceller:
    found = None if args or kwargs else find_canceller(work)
    if found is not None:
        return found
    if not callable(work):
        if args or kwargs:
            raise TypeError(
                f"shield() takes arguments for a function alone, not for {named(work)}: pass "
                "shield(work), or shield(function, *args, **kwargs)"
            )
        return canceller_for(work)
    try:
        result = work(*args, **kwargs)
        return find_canceller(result) or canceller_for(succeed(result))
    except BaseException:
        return canceller_for(fail())


def detach(work: object) -> None:
    """Let work go on outside the scope, whatever happens to the request.

    The result is dropped. A failure is logged, even a CancelledError, because the scope never
    cancels detached work. The drain of a monitor waits for it.

    Args:
        work: anything that a scope can track. A coroutine is started in a copy of the caller's
            context, without a current scope. If the scope already tracks the work, it stops doing
            so. That is true of a Deferred, including one that ``track`` made from a coroutine, and
            of an object that provides `ICancellable` itself.

    Raises:
        TypeError: cancelweb cannot track this kind of work; the message says how to register a
            canceller.
    """
    scope = scope_or_none()
    check_thread(scope, "detach")
    canceller = call_in(None, None, canceller_for, work)
    monitors: tuple[IMonitor, ...] = ()
    if scope is not None:
        monitors = scope.options.monitors
        scope.life.stopping.release(canceller)
    for monitor in monitors:
        monitor.work_detached(canceller)

    telling = telling_of(None, canceller)

    def ended(result: object) -> None:
        if isinstance(result, Failure):
            text, name = "detached work {canceller} failed", canceller.describe()
            telling.log(log.failure, text, failure=result, canceller=name)
        for monitor in monitors:
            monitor.detached_work_ended(canceller)

    canceller.watch(ended)

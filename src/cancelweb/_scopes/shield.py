"""Work that a cancellation does not stop at once: shielded, detached, or shared by requests.

Built on scopes, which know nothing of it but that it is work.
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
from .scope import Scope
from .waits import Wait

P = ParamSpec("P")
R = TypeVar("R")


@define(eq=False)
class Shielded(OneShot):
    """Work that goes on when its scope is cancelled, and for which the scope waits.

    How it ends is the business of the code that awaits it.

    Attributes:
        scope: the scope, or None.
        above: tracks, once it has ended, what it has begun and left to run.
        work: its canceller; None until it has been started.
        is_over: whether it has ended. What it has left to run is shielded no longer.
    """

    scope: Scope | None
    above: Tracker | None = field(repr=False)
    work: Canceller | None = field(default=None, init=False)
    is_over: bool = field(default=False, init=False)
    _left: list[object] = field(factory=list, init=False, repr=False)

    def start(self, find: Callable[[], Canceller]) -> Canceller:
        """Find its canceller, in a copy of the caller's context: that starts a coroutine."""
        canceller = self.work = copy_context().run(self._start, find)
        return canceller

    def _start(self, find: Callable[[], Canceller]) -> Canceller:
        shielded_here.set(self)
        return find()

    def track(self, work: object) -> object:
        """Have it stopped by the scope, as far as there is one, but not before this has ended."""
        if not self.is_over:
            self._left.append(work)
        elif self.above is not None:
            self.above.track(work)
        return work

    def watch(self, settled: Settled) -> None:
        self._settled = settled

    def cancel(self) -> None:
        """Asked for nothing: the work is to run to its end."""

    def where(self) -> str:
        return self.describe() if self.work is None else self.work.where()

    def describe(self) -> str:
        return "shielded work" if self.work is None else f"shielded {self.work.describe()}"

    def over(self) -> None:
        """The work has ended."""
        self.is_over = True
        left, self._left = self._left, []
        for work in left:
            self.track(work)
        self.settle(None)


shielded_here: ContextVar[Shielded | None] = ContextVar("cancelweb_shielded", default=None)
"""The shielded work that the code which runs is a part of."""


Tracker = Scope | Shielded
"""What tracks work."""


def tracker_here() -> Tracker | None:
    """What tracks work that the code which runs begins: its shielded work, its scope, or None."""
    scope, shielded = scope_or_none(), shielded_here.get()
    return shielded if shielded is not None and shielded.scope is scope else scope


def is_shielded(scope: Scope) -> bool:
    """Whether the code that runs is a part of work that is shielded from this scope."""
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
    """Let work run to its end, although the code that awaits it is cancelled meanwhile.

    The cancellation is not lost, but late: when the work has ended, the code that awaits it gets a
    CancelledError in place of the result. If the work has failed, it gets that failure; where it
    handles it, it goes on uncancelled. All other work of the scope is stopped without delay.

    The scope waits for shielded work before it runs its hooks, ``survivor_after`` seconds at
    most; then the work is named a survivor, and still runs on. On a scope that has been cancelled
    it is as good, and in code that runs for no request it is a shield all the same.

    Shielded work may begin queries and the like although its scope has been cancelled. So give it a
    function where the call itself begins one: ``shield(pool.runQuery, sql)``.

    Args:
        work: what a scope can track. A coroutine is started, in the context of the caller. Or a
            function, which is called inside the shield; it may be a coroutine function, or return
            what a scope can track, or any other result.
        *args: what a function is called with.
        **kwargs: and by name.

    Returns:
        A Deferred of its result, to be awaited. What a function raises is its failure.

    Raises:
        TypeError: cancelweb does not know this kind of work; says how to register a canceller. Or
            there are arguments, and no function.
    """
    scope = scope_or_none()
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
    """Let work go on outside the scope, whatever becomes of the request.

    Its result is dropped. Its failure is logged, a cancellation too: that was not the scope's. A
    monitor's drain waits for it.

    Args:
        work: what a scope can track. A coroutine is started in a copy of the caller's context in
            which there is no current scope. What the scope tracks already is tracked no longer;
            this goes for a Deferred, for what ``track`` made of a coroutine, and for what provides
            `ICancellable` itself.

    Raises:
        TypeError: cancelweb does not know this kind of work; says how to register a canceller.
    """
    scope = scope_or_none()
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

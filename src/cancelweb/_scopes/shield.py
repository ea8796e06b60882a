"""Work that a cancellation does not stop at once: shielded, detached, or shared by requests.

Built on scopes, which know nothing of it but that it is work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Generic, TypeVar, overload

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .._kinds.cancellers import Canceller, OneShot, Settled
from .._kinds.registry import canceller_for
from .._log import log
from ..interfaces import IMonitor
from .context import call_in
from .finding import scope_or_none
from .scope import Scope

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
            self._failure = result if isinstance(result, Failure) else None
            self._context.run(waiting.unpause)
        else:
            self._context.run(waiting.callback, result)


@define(eq=False)
class Shielded(OneShot):
    """Work that goes on when its scope is cancelled, and for which the scope waits.

    How it ends is the business of the code that awaits it.

    Attributes:
        scope: the scope, or None.
        above: tracks, once it has ended, what it has begun and left to run.
        work: its canceller; None until it has been started.
    """

    scope: Scope | None
    above: Tracker | None = field(repr=False)
    work: Canceller | None = field(default=None, init=False)
    _left: list[object] = field(factory=list, init=False, repr=False)
    _is_over: bool = field(default=False, init=False)

    def start(self, work: object) -> Canceller:
        """Find its canceller; a coroutine is started, in a copy of the caller's context."""
        canceller = self.work = copy_context().run(self._start, work)
        return canceller

    def _start(self, work: object) -> Canceller:
        shielded_here.set(self)
        return canceller_for(work)

    def track(self, work: object) -> object:
        """Have it stopped by the scope, as far as there is one, but not before this has ended."""
        if not self._is_over:
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
        self._is_over = True
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


@overload
def shield(work: Awaitable[R]) -> Deferred[R]: ...


@overload
def shield(work: object) -> Deferred[Any]: ...


def shield(work: object) -> Deferred[Any]:
    """Let work run to its end, although the code that awaits it is cancelled meanwhile.

    The cancellation is not lost, but late: when the work has ended, the code that awaits it gets a
    CancelledError in place of the result. If the work has failed, it gets that failure; where it
    handles it, it goes on uncancelled. All other work of the scope is stopped without delay.

    The scope waits for shielded work before it runs its hooks, ``survivor_after`` seconds at
    most; then the work is named a survivor, and still runs on. On a scope that has been cancelled
    it is as good, and in code that runs for no request it is a shield all the same.

    Args:
        work: what a scope can track. A coroutine is started, in the context of the caller.

    Returns:
        A Deferred of its result, to be awaited.

    Raises:
        TypeError: cancelweb does not know this kind of work; says how to register a canceller.
    """
    scope = scope_or_none()
    shielded = Shielded(scope, tracker_here())
    canceller = shielded.start(work)
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

    def ended(result: object) -> None:
        if isinstance(result, Failure):
            log.failure(
                "detached work {canceller} failed", failure=result, canceller=canceller.describe()
            )
        for monitor in monitors:
            monitor.detached_work_ended(canceller)

    canceller.watch(ended)

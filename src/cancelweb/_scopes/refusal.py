"""Refuse to start work for a dead request: queries, processes, threads, upstream requests.

cancelweb's own helpers call `begin` before they start work. Users permit cleanup with `cleaning`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from enum import Enum
from functools import partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.reflect import safe_str

from .._kinds.cancellations import forgive
from .._kinds.handling import is_awaited_by_handler, may_be_of_driver, sees_cancellation
from .._log import log
from ..causes import ResponseFinished
from .finding import scope_or_none
from .hooks import cleanup_seconds, hook_here
from .own_thread import check_thread_to_begin
from .owners import Owner, context_of, is_own, owner_here, owner_of, place_of_caller
from .refused import StartRefused
from .scope import Scope
from .shield import is_shielded
from .states import CLOSED
from .telling import log_in

P = ParamSpec("P")
R = TypeVar("R")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 1.0
"""How many seconds the second refusal of a scope takes, doubled with each further one. Code that
catches even a BaseException and tries again must not keep the reactor busy."""

_PLACES = 100
"""At how many places in the code a refusal is logged, once each."""

_cleaning_for: ContextVar[Scope | None] = ContextVar("cancelweb_cleaning", default=None)
_refusals: WeakKeyDictionary[Scope, int] = WeakKeyDictionary()
_asked_first: WeakKeyDictionary[Scope, float] = WeakKeyDictionary()
"""When leftover work that was asked to stop first tried to start more work."""

_told: set[str] = set()


@contextmanager
def cleaning() -> Iterator[None]:
    """Permit queries, child processes, calls in threads and upstream requests in a ``with`` block.

    In a cancelled scope, and in leftover work that was asked to stop, cancelweb's own helpers
    refuse to start these, and new runs of `Shared` functions, with `StartRefused`. Cleanup in an
    ``except`` or ``finally`` block is recognised and needs no permission. Use this for other
    cleanup, for example in an errback, or after a block that has caught the cancellation.

    The permission ends ``cleanup_timeout`` seconds after the cancel; for leftover work, after it
    first tried to start more work. Put longer cleanup into `shield` or a hook. In any other code
    this does nothing.
    """
    former = _cleaning_for.get()
    _cleaning_for.set(scope_or_none())
    try:
        yield
    finally:
        # A token cannot be used, because a generator may be closed in another context.
        _cleaning_for.set(former)


def begin(
    what: str, start: Callable[P, Deferred[R]], /, *args: P.args, **kwargs: P.kwargs
) -> Deferred[R]:
    """Start work, unless the calling code was asked to stop and the work is not cleanup.

    A callback may run in the context of another request, whose cancel does not count. Its work is
    refused only if the code that waits for the work was asked to stop. Work for another scope is
    started in the context of that scope.

    Args:
        what: the name of the work in the message.
        start: starts the work.
        *args: positional arguments of ``start``.
        **kwargs: keyword arguments of ``start``.

    Returns:
        What ``start`` returns; or a Deferred that fails with `StartRefused` in a later turn. Only
        in the next turn is it known which code waits for the Deferred, and whether that handles a
        cancellation. If the work is permitted, it starts then.
    """
    check_thread_to_begin(scope_or_none(), what)
    owner = owner_here()
    if owner is None or not owner.is_asked:
        return start(*args, **kwargs)
    scope, is_certain = owner.scope, is_own(owner.scope)
    permit = _permit_here(scope, is_certain)
    if is_certain and _is_in_force(permit, scope):
        return start(*args, **kwargs)
    begun = partial(start, *args, **kwargs)
    return _Attempt(owner, what, begun, permit, is_certain, place_of_caller()).deferred


class _Permit(Enum):
    """Why code that was asked to stop may start work."""

    ALWAYS = "it is a hook or shielded"
    IN_TIME = "it is cleanup"
    PERHAPS = "a cancellation is being handled, maybe by other code"
    NONE = "nothing permits it"


def _permit_here(scope: Scope, is_certain: bool) -> _Permit:
    if is_shielded(scope) or _is_in_hook(scope):
        return _Permit.ALWAYS
    if _cleaning_for.get() is scope:
        return _Permit.IN_TIME
    if not sees_cancellation():
        return _Permit.NONE
    return _Permit.IN_TIME if is_certain and not may_be_of_driver() else _Permit.PERHAPS


def _is_in_force(permit: _Permit, scope: Scope) -> bool:
    return permit is _Permit.ALWAYS or (permit is _Permit.IN_TIME and not _is_late(scope))


def _is_late(scope: Scope) -> bool:
    now = scope.clock.seconds()
    # For leftover work the time begins when it first tries to start more work.
    cancelled = scope.cancelled
    since = _asked_first.setdefault(scope, now) if cancelled is None else cancelled
    return now >= since + cleanup_seconds(scope)


def _is_in_hook(scope: Scope) -> bool:
    hook_scope, began = hook_here.get() or (None, 0.0)
    if hook_scope is not scope:
        return False
    # A hook may run after its scope has closed, because it was added late or took too long.
    return scope.state is not CLOSED or scope.clock.seconds() < began + cleanup_seconds(scope)


@define(eq=False)
class _Attempt:
    """Work that was not started at once.

    Attributes:
        owner: the owner by the context of the call, which was asked to stop.
        what: the name of the work.
        start: starts the work.
        permit: why the calling code may start work.
        is_certain: whether the calling code certainly belongs to the owner.
        where: the place of the call.
        deferred: the Deferred that the caller receives.
    """

    owner: Owner
    what: str
    start: Callable[[], Deferred[Any]]
    permit: _Permit
    is_certain: bool
    where: str
    deferred: Deferred[Any] = field(init=False)
    _context: Context = field(factory=copy_context, init=False)
    _pause: float = field(init=False)
    _timer: IDelayedCall | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.deferred = Deferred(self._cancelled)
        self.deferred.addCallback(lambda _: self._context.run(self.start))
        scope = self.owner.scope
        # Attempts of the same turn get the same pause, so they are refused together.
        self._pause = _pause_after(_refusals.get(scope, 0))
        self._timer = scope.clock.callLater(0, self._decide)

    def _decide(self) -> None:
        self._timer = None  # The timer refers to this object, which would be a reference cycle.
        if self._may_start():
            self.deferred.callback(None)
        elif self._pause:
            self._timer = self.owner.scope.clock.callLater(self._pause, self._refuse)
        else:
            self._refuse()

    def _may_start(self) -> bool:
        if not self._find_owner() or _is_in_force(self.permit, self.owner.scope):
            return True
        if _is_late(self.owner.scope):
            return False
        is_handled = is_awaited_by_handler(self.deferred)
        return self.permit is _Permit.PERHAPS if is_handled is None else is_handled

    def _find_owner(self) -> bool:
        """Whether the work certainly belongs to a scope that was asked to stop."""
        owner = owner_of(self.deferred)
        if owner is None:
            return self.is_certain
        if owner.scope is not self.owner.scope:
            self._context = context_of(owner.scope)
        self.owner = owner
        return owner.is_asked

    def _cancelled(self, _: Deferred[Any]) -> None:
        assert self._timer is not None
        self._timer.cancel()
        if self._find_owner():
            self._refuse()

    def _refuse(self) -> None:
        scope, self._timer = self.owner.scope, None
        cause = scope.cause or ResponseFinished()
        _refusals[scope] = _refusals.get(scope, 0) + 1
        message = f"{self.what} was not started: {safe_str(cause)}; {self._advice()}"
        if self.where not in _told and len(_told) < _PLACES:
            _told.add(self.where)
            text = "{where}: {refusal}"
            log_in(self._context, log.info, text, where=self.where, refusal=message)
        # In this context, an errback that tries again is refused again.
        self._context.run(self.deferred.errback, StartRefused(message, cause))
        forgive(self.deferred)

    def _advice(self) -> str:
        if _is_late(self.owner.scope):
            seconds = cleanup_seconds(self.owner.scope)
            return f"cleanup_timeout ({seconds:g} s) has passed: put longer cleanup into `shield()`"
        return "if it is cleanup, put it inside `with cancelweb.cleaning():`"


def _pause_after(refusals: int) -> float:
    """How many seconds the next refusal is delayed, beyond the next turn."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(refusals, 10)) if refusals else 0.0

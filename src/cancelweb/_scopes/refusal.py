"""Nothing starts for a dead request: whether cancelweb's own helpers may begin more work.

What they begin is theirs. One function for all of them, `begin`, and `cleaning` for users.
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
from .._kinds.where import frames
from .._log import log
from ..causes import ResponseFinished
from .finding import scope_or_none
from .hooks import cleanup_seconds, hook_here
from .owners import Owner, context_of, is_own, is_users, owner_here, owner_of
from .refused import StartRefused
from .scope import Scope
from .shield import is_shielded
from .states import CLOSED
from .telling import log_in

P = ParamSpec("P")
R = TypeVar("R")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 1.0
"""Seconds that the second refusal of a scope takes, doubled each time: code that catches even a
BaseException, and tries again, must not keep the reactor busy."""

_PLACES = 100
"""At so many places of the code a refusal is logged, once each."""

_cleaning_for: ContextVar[Scope | None] = ContextVar("cancelweb_cleaning", default=None)
_refusals: WeakKeyDictionary[Scope, int] = WeakKeyDictionary()
_asked_first: WeakKeyDictionary[Scope, float] = WeakKeyDictionary()
"""When leftover work that was asked to stop has first asked for more."""

_told: set[str] = set()


@contextmanager
def cleaning() -> Iterator[None]:
    """Let queries, child processes, calls in threads and upstream requests start inside.

    In a scope that has been cancelled, and in leftover work that was asked to stop, cancelweb's own
    helpers refuse to start them, and new runs of `Shared` functions, with `StartRefused`. Cleanup
    in an ``except`` or ``finally`` block needs no permission: it is recognised. Use this for other
    cleanup, as in an errback, or behind a block that has caught the cancellation. The permission
    ends ``cleanup_timeout`` seconds after the cancel, or after leftover work has first asked for
    more; what may take longer belongs into `shield` or a hook. Elsewhere this does nothing.
    """
    former = _cleaning_for.get()
    _cleaning_for.set(scope_or_none())
    try:
        yield
    finally:
        # Not by the token: a generator may be closed in another context.
        _cleaning_for.set(former)


def begin(
    what: str, start: Callable[P, Deferred[R]], /, *args: P.args, **kwargs: P.kwargs
) -> Deferred[R]:
    """Start work, unless the code that asks was asked to stop, and the work is no cleanup.

    A callback may run in the context of another request, and then is not refused for that. It is
    refused only if work of a scope that was asked to stop waits for what it begins. What it begins
    for another scope is started in the context of that.

    Args:
        what: names the work in the message.
        start: starts it.
        *args: what it is called with.
        **kwargs: and by name.

    Returns:
        What ``start`` has returned; or a Deferred that fails with `StartRefused` in a later turn.
        What waits for it, and whether that handles a cancellation, can only be told in the next
        turn. If it may be started, it is started then.
    """
    owner = owner_here()
    if owner is None or not owner.is_asked:
        return start(*args, **kwargs)
    scope, is_certain = owner.scope, is_own(owner.scope)
    permit = _permit_here(scope, is_certain)
    if is_certain and _is_in_force(permit, scope):
        return start(*args, **kwargs)
    begun = partial(start, *args, **kwargs)
    return _Attempt(owner, what, begun, permit, is_certain, _place_of_caller()).deferred


class _Permit(Enum):
    """Why the code that asks may begin work in a scope that was asked to stop."""

    ALWAYS = "it is a hook, or shielded"
    IN_TIME = "it is cleanup"
    PERHAPS = "a cancellation is seen, which other code may be handling"
    NONE = "nothing is known of it"


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
    # Where no scope was cancelled, the time begins with the first that leftover work asks for.
    cancelled = scope.cancelled
    since = _asked_first.setdefault(scope, now) if cancelled is None else cancelled
    return now >= since + cleanup_seconds(scope)


def _is_in_hook(scope: Scope) -> bool:
    hook_scope, began = hook_here.get() or (None, 0.0)
    if hook_scope is not scope:
        return False
    # A hook may be run late, or be gone on without, when the scope has closed.
    return scope.state is not CLOSED or scope.clock.seconds() < began + cleanup_seconds(scope)


@define(eq=False)
class _Attempt:
    """Work that was not started at once.

    Attributes:
        owner: in whose context it was asked for; that was asked to stop.
        what: names the work.
        start: starts it.
        permit: of the code that has asked for it.
        is_certain: whether that code belongs to the owner for certain.
        where: the place in the code that has asked for it.
        deferred: what the caller gets.
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
        # What is asked for together is refused together.
        self._pause = _pause_after(_refusals.get(scope, 0))
        self._timer = scope.clock.callLater(0, self._decide)

    def _decide(self) -> None:
        self._timer = None  # It refers to this.
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
        """Whether the work belongs to a scope for certain, and is to end with it."""
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
        # There an errback that tries again is refused again.
        self._context.run(self.deferred.errback, StartRefused(message, cause))
        forgive(self.deferred)

    def _advice(self) -> str:
        if _is_late(self.owner.scope):
            seconds = cleanup_seconds(self.owner.scope)
            return f"cleanup_timeout, {seconds:g} s, has passed: shield() cleanup that takes longer"
        return "if it is cleanup, put it inside `with cancelweb.cleaning():`"


def _pause_after(refusals: int) -> float:
    """Seconds to wait with the next refusal, behind the next turn."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(refusals, 10)) if refusals else 0.0


def _place_of_caller() -> str:
    """The innermost line that is neither cancelweb's nor Twisted's."""
    for frame in frames():
        if is_users(frame):
            return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
    return "a callback"

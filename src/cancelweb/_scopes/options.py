"""The options of an entry point, and how the options of nested entry points are joined.

Frozen records; nothing here acts on a request. `checks` validates the values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from attrs import evolve, field, frozen
from twisted.internet.interfaces import IReactorTime

from .._checks import Check, check_count, check_flag, check_limit, check_status
from .._typed import AnyMonitor
from ..causes import Cause, Observer, TimedOut
from ..interfaces import IMonitor
from .checks import (
    NOT_GIVEN,
    NotGiven,
    check_clock,
    check_error_page,
    check_header,
    check_monitor,
    methods_from,
)
from .hook_checks import hooks_apart, hooks_from

T = TypeVar("T")

SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""The methods that a disconnect or a time limit may cancel in a `CancellingResource` by default.
These are the safe methods of RFC 9110, section 9.2.1, except TRACE."""


@frozen(eq=False)
class Options:
    """The options of one entry point, or of several nested ones that share a request.

    None means that an option was not given. Only ``timeout`` and ``stall_timeout`` have `NOT_GIVEN`
    for that, because None lifts these limits. Of nested entry points, the innermost one wins.
    """

    timeout: float | NotGiven | None = NOT_GIVEN
    total_timeout: float | None = None
    stall_timeout: float | NotGiven | None = NOT_GIVEN
    timeout_header: str | None = None
    timeout_status: int | None = None
    error_page: Callable[[Any, Cause], Any] | None = None
    hooks: tuple[tuple[Callable[[Any], object], bool], ...] = ()
    """Each hook with whether it runs only if the scope was cancelled; the last one runs first."""
    observers: tuple[Observer, ...] | None = None
    cleanup_timeout: float | None = None
    survivor_after: float | None = None
    max_abandoned: int | None = None
    """Only the outermost entry point's counts, because it is read before there is a scope."""
    clock: IReactorTime | None = None
    methods: frozenset[bytes] | None = None
    any_method: bool = False
    dry_run: bool = False
    monitors: tuple[IMonitor, ...] = ()
    parts: tuple[Options, ...] = ()
    limits: tuple[tuple[str, float | None], ...] = field(init=False)
    """The names and seconds of the limits that were given; None lifts a limit."""
    soonest: float | None = field(init=False)
    """The shortest of these limits, in seconds."""
    has_limits: bool = field(init=False)
    """Whether this entry point may limit the time; lifting a limit does not count."""
    is_demanding: bool = field(init=False)
    """Whether a scope must do more for these options than stop the work and log that."""

    @limits.default
    def _given(self) -> tuple[tuple[str, float | None], ...]:
        both = {"timeout": self.timeout, "stall_timeout": self.stall_timeout}
        given = [(name, each) for name, each in both.items() if not isinstance(each, NotGiven)]
        if self.total_timeout is not None:
            given.append(("total_timeout", self.total_timeout))
        return tuple(given)

    @soonest.default
    def _least(self) -> float | None:
        return min((seconds for _, seconds in self.limits if seconds is not None), default=None)

    @has_limits.default
    def _may_limit(self) -> bool:
        return self.soonest is not None or self.timeout_header is not None

    @is_demanding.default
    def _demands(self) -> bool:
        return bool(self.hooks or self.observers or self.monitors or self.has_limits)

    def may_cancel(self, method: bytes) -> bool:
        """Whether a disconnect or a time limit may cancel a request of this method."""
        return self.any_method or method in (SAFE_METHODS if self.methods is None else self.methods)

    def status_of(self, cause: Cause) -> int:
        """The status code of the answer to a client that still waits after the cancel."""
        if isinstance(cause, TimedOut) and self.timeout_status is not None:
            return self.timeout_status
        return cause.status

    def spent(self) -> Options:
        """These options for a second scope of a request whose hooks have run; see `only_told`."""
        return evolve(self.only_told(), parts=(self, *self.parts))

    def only_told(self) -> Options:
        """These options without hooks and limits, so that only monitors and observers are told.

        Used for requests that are turned away.
        """
        return evolve(
            self,
            hooks=(),
            timeout=NOT_GIVEN,
            total_timeout=None,
            stall_timeout=NOT_GIVEN,
            timeout_header=None,
        )

    def includes(self, other: Options) -> bool:
        """Whether ``other`` is these options, or was joined to them."""
        return other is self or other in self.parts

    def joined(self, inner: Options) -> Options:
        """Join the options of an inner entry point to these; for each option the inner one wins.

        Observers and monitors add up. The scope takes on the hooks and limits of each entry point.
        """
        return Options(
            timeout_header=_inner_first(inner.timeout_header, self.timeout_header),
            timeout_status=_inner_first(inner.timeout_status, self.timeout_status),
            error_page=_inner_first(inner.error_page, self.error_page),
            observers=_observers_added(self.observers, inner.observers),
            cleanup_timeout=_inner_first(inner.cleanup_timeout, self.cleanup_timeout),
            survivor_after=_inner_first(inner.survivor_after, self.survivor_after),
            clock=_inner_first(inner.clock, self.clock),
            methods=_inner_first(inner.methods, self.methods),
            any_method=self.any_method or inner.any_method,
            dry_run=self.dry_run or inner.dry_run,
            monitors=added(self.monitors, inner.monitors),
            parts=(*(self.parts or (self,)), inner),
        )


def _inner_first(inner: T | None, outer: T | None) -> T | None:
    return outer if inner is None else inner


def _observers_added(
    outer: tuple[Observer, ...] | None, inner: tuple[Observer, ...] | None
) -> tuple[Observer, ...] | None:
    # None means the default observer, which applies only if no entry point has given any.
    if outer is None or inner is None:
        return outer if inner is None else inner
    return added(outer, inner)


def added(outer: tuple[T, ...], inner: tuple[T, ...]) -> tuple[T, ...]:
    """The observers or monitors of two entry points; those that both have count once."""
    return (*outer, *(each for each in inner if each not in outer))


CHECKS: dict[str, Check] = {
    "timeout": check_limit,
    "total_timeout": check_limit,
    "stall_timeout": check_limit,
    "timeout_header": check_header,
    "timeout_status": check_status,
    "error_page": check_error_page,
    "cleanup_timeout": check_limit,
    "survivor_after": check_limit,
    "max_abandoned": check_count,
    "clock": check_clock,
    "any_method": check_flag,
}
"""The checks of options that an entry point passes on as they are; None is always right."""


def checked_options(
    *,
    on_cancel: object = (),
    on_exit: object = (),
    observers: object = None,
    methods: object = None,
    monitor: AnyMonitor | None = None,
    dry_run: bool = False,
    **settings: Any,
) -> Options:
    """Check the options that a user gives, and return them as `Options`.

    Raises:
        TypeError, ValueError: an option is wrong; the message says which, and what to pass instead.
    """
    check_flag("dry_run", dry_run)
    for name, value in settings.items():
        if value is not None and value is not NOT_GIVEN:
            CHECKS[name](name, value)
    if monitor is not None:
        monitor = check_monitor("monitor", monitor)
    hooks_among, watching = hooks_apart(observers)
    hooks = [(hook, False) for hook in (*hooks_from("on_exit", on_exit), *hooks_among)]
    hooks += [(hook, True) for hook in hooks_from("on_cancel", on_cancel)]
    return Options(
        hooks=tuple(hooks),
        observers=watching,
        methods=methods_from(methods),
        monitors=() if monitor is None else (monitor,),
        dry_run=dry_run,
        **settings,
    )

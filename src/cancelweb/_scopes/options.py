"""What a door was given: checked when it is given, and added up where doors meet.

Frozen settings and their validation; nothing here acts on a request.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from attrs import Attribute, evolve, field, frozen
from twisted.internet.interfaces import IReactorTime

from .._kinds.cancellers import global_reactor
from ..causes import Cause, Draining, Observer, TimedOut, check_status
from ..interfaces import IMonitor

T = TypeVar("T")

SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""The methods that a `CancellingResource` lets a disconnect cancel: those that RFC 9110,
section 9.2.1, calls safe and Twisted Web is commonly asked for."""

TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
"""What a method's name is made of (RFC 9110, section 5.6.2)."""


def _seconds(_: object, attribute: Attribute[float | None], value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{attribute.name} must be a number of seconds, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"{attribute.name} must be more than 0 and finite, not {value!r}")


def _error_status(_: object, attribute: Attribute[int | None], value: object) -> None:
    if value is not None:
        check_status(attribute.name, value)


def _count(_: object, attribute: Attribute[int | None], value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{attribute.name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{attribute.name} must be 1 or more, not {value!r}")


def _clock(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not IReactorTime.providedBy(value):
        raise TypeError(
            f"{attribute.name} must provide IReactorTime, as reactors do; {value!r} does not"
        )


def _flag(_: object, attribute: Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{attribute.name} must be True or False, not {value!r}")


def _monitors(_: object, attribute: object, value: tuple[object, ...]) -> None:
    for monitor in value:
        if not IMonitor.providedBy(monitor):
            raise TypeError(
                f"monitor must be a cancelweb.monitor.Monitor, or provide IMonitor; {monitor!r} "
                "does not"
            )


def check_callable(name: str, function: object) -> None:
    """Raise a TypeError for the commonest mistake: a hook that was called when it was given."""
    if not callable(function):
        raise TypeError(f"{name} takes callables with one argument, not {function!r}")


def _one_argument(name: str, function: Any) -> None:
    check_callable(name, function)
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # Some builtins do not tell.
    try:
        signature.bind(None)
    except TypeError:
        raise TypeError(
            f"{name} takes callables with one argument; {function!r} has {signature}"
        ) from None


def callables(name: str, given: object) -> tuple[Any, ...]:
    """One callable, or an iterable of them, as a tuple.

    Raises:
        TypeError: something in it cannot be called with one argument.
    """
    if callable(given) or not isinstance(given, Iterable):
        given = (given,)
    functions = tuple(given)
    for function in functions:
        _one_argument(name, function)
        _no_generator(name, function)
    return functions


def _no_generator(name: str, function: object) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{name} takes functions, not generators such as {function!r}")
    if name == "observers" and inspect.iscoroutinefunction(function):
        raise TypeError(
            f"observers only watch, and cannot wait: {function!r} is a coroutine function"
        )


def method_names(given: Iterable[str | bytes] | None) -> frozenset[bytes] | None:
    """Request methods as the bytes that a request has.

    Raises:
        TypeError: not an iterable of str or bytes.
        ValueError: a name that no request has, such as one in lower case.
    """
    if given is None:
        return None
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(f"methods must be an iterable such as ('GET', 'HEAD'), not {given!r}")
    return frozenset(_method_name(each) for each in given)


def _method_name(name: object) -> bytes:
    if not isinstance(name, str | bytes):
        raise TypeError(f"methods must hold str or bytes, not {name!r}")
    text = name if isinstance(name, str) else name.decode("latin-1")
    if not re.fullmatch(TOKEN, text) or text != text.upper():
        raise ValueError(f"methods must be names such as 'GET', not {name!r}")
    return text.encode("ascii")


@frozen(eq=False)
class Options:
    """The settings of one door, or of several that met on one request.

    None stands for "not given", so that of doors that meet the innermost that gives one decides.
    """

    timeout: float | None = field(default=None, validator=_seconds)
    timeout_status: int | None = field(default=None, validator=_error_status)
    hooks: tuple[tuple[Callable[[Any], object], bool], ...] = ()
    """Each with whether it is for a cancelled scope only; the last is run first."""
    observers: tuple[Observer, ...] | None = None
    cleanup_timeout: float | None = field(default=None, validator=_seconds)
    survivor_after: float | None = field(default=None, validator=_seconds)
    max_cleanups: int | None = field(default=None, validator=_count)
    """Of the door that meets a request first; asked before there is a scope."""
    clock: Any = field(default=None, validator=_clock)
    methods: frozenset[bytes] | None = None
    any_method: bool = False
    dry_run: bool = field(default=False, validator=_flag)
    monitors: tuple[Any, ...] = field(default=(), validator=_monitors)
    parts: tuple[Options, ...] = ()
    is_demanding: bool = field(init=False)
    """Whether a scope has something to do when it is opened."""

    def __attrs_post_init__(self) -> None:
        demanding = bool(self.hooks or self.observers or self.monitors or self.timeout is not None)
        object.__setattr__(self, "is_demanding", demanding)

    def may_cancel(self, method: bytes) -> bool:
        """Whether a disconnect or a deadline may cancel a request of this method."""
        return self.any_method or method in (SAFE_METHODS if self.methods is None else self.methods)

    def status_of(self, cause: Cause) -> int:
        """The status code of the answer to a request that was cancelled while its client waits."""
        if isinstance(cause, TimedOut) and self.timeout_status is not None:
            return self.timeout_status
        return cause.status

    def clock_for(self, request: Any) -> Any:
        """The clock given, or else the reactor of the request's Site, or else the global one."""
        if self.clock is not None:
            return self.clock
        try:
            return request.site.reactor
        except AttributeError:
            # No request any more, or a test double without a site.
            return global_reactor()

    def spent(self) -> Options:
        """These options for a second scope of a request whose hooks have been run."""
        return evolve(self, hooks=(), observers=(), monitors=(), timeout=None, parts=(self,))

    def only_told(self) -> Options:
        """These options for a request that is turned away: only its observers are told."""
        return evolve(self, hooks=(), timeout=None)

    def draining(self, known: tuple[Any, ...] = ()) -> Draining | None:
        """Why a request is turned away, where one of the monitors has new ones drained.

        Args:
            known: the monitors for which it is not new.
        """
        for monitor in self.monitors:
            if monitor.is_draining and not self.dry_run and monitor not in known:
                return Draining(monitor.retry_after)
        return None

    def includes(self, other: Options) -> bool:
        """Whether ``other`` is this door, or one of those that met in it."""
        return other is self or other in self.parts

    def joined(self, inner: Options) -> Options:
        """These options with those of a door inside: the innermost that gave one decides.

        Observers and monitors add up; hooks and deadlines are taken on by the scope.
        """
        return Options(
            timeout=self.timeout,
            timeout_status=_inner_first(inner.timeout_status, self.timeout_status),
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


def _inner_first(inner: Any, outer: Any) -> Any:
    return outer if inner is None else inner


def _observers_added(
    outer: tuple[Observer, ...] | None, inner: tuple[Observer, ...] | None
) -> tuple[Observer, ...] | None:
    # The default is told of nothing twice.
    if outer is None or inner is None:
        return outer if inner is None else inner
    return added(outer, inner)


def added(outer: tuple[T, ...], inner: tuple[T, ...]) -> tuple[T, ...]:
    """The observers or monitors of two doors: what both were given counts once."""
    return (*outer, *(each for each in inner if each not in outer))


def checked_options(
    *,
    on_cancel: object = (),
    on_exit: object = (),
    observers: object = None,
    methods: Iterable[str | bytes] | None = None,
    monitor: object = None,
    **settings: Any,
) -> Options:
    """The options as a user gives them, checked.

    Raises:
        TypeError, ValueError: one of them is wrong; says which, and what to give instead.
    """
    hooks = [(hook, False) for hook in callables("on_exit", on_exit)]
    hooks += [(hook, True) for hook in callables("on_cancel", on_cancel)]
    return Options(
        hooks=tuple(hooks),
        observers=None if observers is None else callables("observers", observers),
        methods=method_names(methods),
        monitors=() if monitor is None else (monitor,),
        **settings,
    )

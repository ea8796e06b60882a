"""Share one run of a function between requests that ask for the same at the same time.

Each request waits with a `waits.Wait`, which can be cancelled on its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from copy import copy
from functools import partial, update_wrapper
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from .._kinds.cancellations import is_cancellation
from .._kinds.cancellers import Canceller, global_reactor
from .._kinds.let_go import LET_GO, Unstopped
from .._kinds.registry import find_canceller
from .._log import log, name_of
from .._typed import AnyClock
from .checks import check_clock, check_seconds
from .finding import scope_or_none
from .patience import SURVIVOR_AFTER
from .refusal import begin
from .telling import NOWHERE
from .waits import Wait

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


class Shared(Generic[P, R]):
    """A function with one run for all requests that call it with the same arguments.

    Call it like the function. Each call returns its own Deferred. The first call with some
    arguments begins a run; calls before the run has ended wait for the same run. A request that is
    cancelled ends only its own wait. When the last request has left and ``linger`` seconds have
    passed, the run is cancelled; a call within ``linger`` joins it, and a later call begins a new
    run. The result is not cached.

    A run belongs to no request and has an empty context: `current_scope` raises a LookupError, and
    context variables have their defaults. So pass what it needs as arguments, except the request.
    Arguments are hashed and compared to find the run. A run that waits for itself never ends.

    All calls get the same result. If the run fails, each gets a copy of the exception, if it can
    be copied, so that tracebacks do not mix. A failure after the last request has left is logged.

    The wait of the request that leaves last ends when the run has stopped, and its scope waits for
    that. With ``linger`` the wait ends at once; if the run still runs five seconds after it was
    asked to stop, that is logged.

    Use it as a decorator of functions and methods; for options: ``@partial(Shared, linger=2)``.

    Args:
        function: a coroutine function, or a function that returns a Deferred or a plain result.
        linger: how many seconds a run goes on after the last request has left; 0 or more.
        clock: measures these seconds. By default the clock of the scope that begins the run, or
            the global reactor.

    Raises:
        TypeError, ValueError: an argument is wrong; the message says which. A call raises TypeError
            if an argument of the function is not hashable.
    """

    def __init__(
        self,
        function: Callable[P, Awaitable[R]],
        linger: float = 0.0,
        *,
        clock: AnyClock | None = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"Shared takes a function, not {function!r}")
        check_seconds("linger", linger)
        clock = None if clock is None else check_clock("clock", clock)
        update_wrapper(self, function)
        self._function, self._linger, self._clock = function, linger, clock
        self._runs: dict[Hashable, Run] = {}

    def __repr__(self) -> str:
        return f"<Shared {name_of(self._function)}, {len(self._runs)} running>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Wait for the run with these arguments, or begin one."""
        key = self._key(args, kwargs)
        join = partial(self._join, key, partial(self._function, *args, **kwargs))
        return join() if key in self._runs else begin("a shared run", join)

    def _join(self, key: Hashable, call: Callable[[], Any]) -> Deferred[Any]:
        if key in self._runs:
            return self._runs[key].join()
        forget = partial(self._runs.pop, key, None)
        run = self._runs[key] = Run(self._linger, self._time(), forget)
        waiting = run.join()
        Context().run(run.begin, call)
        return waiting

    @overload
    def __get__(self, instance: None, owner: Any = None) -> Shared[P, R]: ...

    @overload
    def __get__(
        self: Shared[Concatenate[S, Q], R], instance: S, owner: Any = None
    ) -> Callable[Q, Deferred[R]]: ...

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind a method: equal instances share its runs, as ``self`` is one of the arguments."""
        return self if instance is None else MethodType(self, instance)

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        try:
            key = (args, frozenset(kwargs.items()))
            hash(key)
        except TypeError as error:
            raise TypeError(
                f"{name_of(self._function)} is shared by calls with the same arguments, so its "
                f"arguments must be hashable: {error}"
            ) from None
        return key

    def _time(self) -> IReactorTime | None:
        if not self._linger or self._clock is not None:
            return self._clock
        scope = scope_or_none()
        return global_reactor() if scope is None else scope.clock


@define(eq=False)
class Run:
    """One call of a shared function, and all waits for it.

    Attributes:
        clock: the clock for ``linger``; may be None if that is 0.
        forget: makes the next call with the same arguments begin a new run.
    """

    linger: float
    clock: IReactorTime | None
    forget: Callable[[], object]
    _waits: dict[Wait[Any], None] = field(factory=dict, init=False)
    _canceller: Canceller | None = field(default=None, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _is_over: bool = field(default=False, init=False)
    _is_stopped: bool = field(default=False, init=False)

    def join(self) -> Deferred[Any]:
        """Add a wait for the result; returns its Deferred."""
        self._disarm()
        wait: Wait[Any] = Wait(self._leave)
        self._waits[wait] = None
        assert wait.deferred is not None
        return wait.deferred

    def begin(self, call: Callable[[], Any]) -> None:
        """Call the function."""
        try:
            result = call()
            self._canceller = find_canceller(result)
        except BaseException:
            self._settled(Failure())
            return
        if self._canceller is None:
            self._settled(result)
        else:
            self._canceller.watch(self._settled)

    def _leave(self, wait: Wait[Any]) -> None:
        is_last = len(self._waits) == 1 and not self._is_over
        if is_last and not self.linger:
            # The last wait goes on until the run has stopped.
            setattr(wait.deferred, LET_GO, self._stop())
            return
        del self._waits[wait]
        wait.end(None)
        if is_last:
            assert self.clock is not None
            self._timer = self.clock.callLater(self.linger, self._stop)

    def _stop(self) -> tuple[Unstopped, ...]:
        self._timer = None
        self._is_stopped = True
        self.forget()
        canceller = self._canceller
        assert canceller is not None
        canceller.clock = self.clock
        try:
            # An empty context, so that no canceller runs in the context of a request.
            Context().run(canceller.cancel)
        except BaseException:
            text, name = "the canceller {canceller} failed", canceller.describe()
            NOWHERE.log(log.failure, text, canceller=name)
        if not canceller.is_end_observable:
            self._settled(Failure(CancelledError()))
        elif self.clock is not None and not self._is_over:
            patience = max(SURVIVOR_AFTER, canceller.survivor_after or 0.0)
            self._timer = self.clock.callLater(patience, self._survives, canceller, patience)
        return canceller.unstopped()

    def _survives(self, canceller: Canceller, seconds: float) -> None:
        self._timer = None
        text = (
            "{canceller}, shared by requests, still runs {seconds:g} s after it was asked to stop"
        )
        NOWHERE.log(log.warn, text, canceller=canceller.describe(), seconds=seconds)

    def _settled(self, result: Any) -> None:
        self._is_over = True
        if not self._is_stopped:
            # A run that was stopped is already forgotten; its key may belong to a newer run.
            self.forget()
        self._disarm()
        if not self._waits and isinstance(result, Failure):
            self._failed_unheard(result)
        # The oldest wait ends first. Code that it resumes may cancel other waits.
        self._waits = dict(reversed(self._waits.items()))
        while self._waits:
            wait, _ = self._waits.popitem()
            wait.end(_copied(result) if self._waits else result)

    def _failed_unheard(self, failure: Failure) -> None:
        if not (self._is_stopped and is_cancellation(failure)):
            NOWHERE.log(log.failure, "work that is shared by requests failed", failure=failure)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _copied(result: object) -> object:
    """The result; if it is a failure, one with a copy of the exception, if that can be copied."""
    if not isinstance(result, Failure):
        return result
    original = result.value
    assert original is not None
    try:
        error = copy(original)
    except Exception:
        return result
    error.__cause__, error.__context__ = original.__cause__, original.__context__
    error.__suppress_context__ = original.__suppress_context__
    return Failure(error, result.type, result.tb)

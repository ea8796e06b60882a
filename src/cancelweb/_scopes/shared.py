"""One run of a function for many requests.

Built on `waits`; what else a request does is its scope's business.
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
    """A function of which one run serves all who ask for the same at the same time.

    Call it as the function: each call returns a Deferred of its own. The first call with some
    arguments begins a run, and those that come before it has ended wait for the same run. A
    waiter that is cancelled takes only its own wait along. When the last has left, and ``linger``
    seconds have passed, the run is cancelled; who comes within ``linger`` joins it, who comes
    later begins a new one. Nothing is kept of a run that has ended, so this is no cache.

    A run belongs to no request. It has an empty context: `current_scope` raises a LookupError, and
    context variables have their defaults. So give it what it needs as arguments, which are hashed
    and compared to tell the runs apart; not the request. One that waits for itself never ends.

    All waiters get the same result. Of an exception each gets a copy, so that their tracebacks do
    not mix, if it can be copied. A failure for which nobody waits is logged.

    The wait of who leaves last ends when the run has really stopped, and his scope waits for that.
    With ``linger`` his wait ends at once; a run that is then still there five seconds after it was
    asked to stop is logged.

    It decorates functions and methods; with options, write ``@partial(Shared, linger=2)``.

    Args:
        function: returns a Deferred, or is a coroutine function. A plain result is given to who
            has asked.
        linger: seconds, 0 or more.
        clock: where the seconds are taken from; unless given, that of the scope in which a run is
            begun, or else the global reactor.

    Raises:
        TypeError, ValueError: an argument is wrong; says which. A call raises a TypeError if an
            argument of the function cannot be hashed.
    """

    def __init__(
        self,
        function: Callable[P, Awaitable[R]],
        linger: float = 0.0,
        *,
        clock: IReactorTime | None = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"Shared takes a function, not {function!r}")
        check_seconds("linger", linger)
        if clock is not None:
            check_clock("clock", clock)
        update_wrapper(self, function)
        self._function, self._linger, self._clock = function, linger, clock
        self._runs: dict[Hashable, Run] = {}

    def __repr__(self) -> str:
        return f"<Shared {name_of(self._function)}, {len(self._runs)} running>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Wait for the run with these arguments; begin it if there is none."""
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
        """As a method: shared by the instance, too, so by those that are equal."""
        return self if instance is None else MethodType(self, instance)

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        try:
            key = (args, frozenset(kwargs.items()))
            hash(key)
        except TypeError as error:
            raise TypeError(
                f"{name_of(self._function)} is shared by who calls it with the same arguments, "
                f"which must be hashable: {error}"
            ) from None
        return key

    def _time(self) -> IReactorTime | None:
        if not self._linger or self._clock is not None:
            return self._clock
        scope = scope_or_none()
        return global_reactor() if scope is None else scope.clock


@define(eq=False)
class Run:
    """One call of a shared function, and all who wait for it.

    Attributes:
        clock: None where nothing lingers.
        forget: has the next who asks begin a new run.
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
        """Wait for the result, as one more."""
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
            # The wait goes on until the run has stopped.
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
            # In the context of no waiter, not even of the last.
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
            # Later, there may be another under the same key.
            self.forget()
        self._disarm()
        if not self._waits and isinstance(result, Failure):
            self._failed_unheard(result)
        # The first that came is the first that is told. One that is told may cancel others.
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
    """The result; a failure with an exception of its own, that others cannot raise."""
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

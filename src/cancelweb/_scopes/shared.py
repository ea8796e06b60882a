"""Share one run of a function between requests that ask for the same at the same time.

Each call finds its `shared_run.Run`, or begins one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from functools import partial, update_wrapper
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from .._checks import check_function, check_seconds
from .._kinds.cancellers import global_reactor
from .._log import name_of
from .._typed import AnyClock
from .checks import check_clock
from .finding import scope_or_none
from .own_thread import check_thread_to_begin
from .refusal import begin
from .shared_run import Run

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
        check_function("function", function)
        check_seconds("linger", linger)
        clock = None if clock is None else check_clock("clock", clock)
        update_wrapper(self, function)
        self._function, self._linger, self._clock = function, linger, clock
        self._runs: dict[Hashable, Run] = {}

    def __repr__(self) -> str:
        return f"<Shared {name_of(self._function)}, {len(self._runs)} running>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Wait for the run with these arguments, or begin one."""
        check_thread_to_begin(scope_or_none(), "a shared run")
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

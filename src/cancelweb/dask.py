"""Run functions on a Dask cluster (distributed) for requests whose clients may leave.

The functions to call. `_engines.dask_futures` has the canceller of a future, which handlers may
also return or track.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.components import registerAdapter

from ._checks import check_function, check_instance
from ._kinds.where import place
from ._scopes.refusal import begin
from ._scopes.waits import Wait
from .interfaces import ICancellable

try:
    from distributed import Client, Future
except ImportError as error:
    raise ImportError(
        "cancelweb.dask needs distributed: pip install 'cancelweb[dask]'", name=error.name
    ) from error

from ._engines.dask_futures import FutureCanceller
from ._engines.dask_loops import loss_of
from ._engines.dask_tasks import TaskCancelled, raise_if_cancelled

R = TypeVar("R")

__all__ = ["Calls", "TaskCancelled", "check", "result"]

registerAdapter(FutureCanceller, Future, ICancellable)


class Calls:
    """Calls functions on the cluster of a Dask client.

    Args:
        client: a synchronous client works with every reactor, and an asynchronous one with
            Twisted's asyncio reactor alone. cancelweb does not close it.

    Raises:
        TypeError: ``client`` is not a ``distributed.Client``.
    """

    def __init__(self, client: Client) -> None:
        check_instance("client", client, Client, "a distributed.Client")
        self._client = client

    @overload
    def run(
        self, function: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any
    ) -> Deferred[R]: ...

    @overload
    def run(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> Deferred[R]: ...

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Submit a call to the cluster, and wait for its result.

        Args:
            function: the function to call on a worker, or a coroutine function.
            *args: its positional arguments.
            **kwargs: its keyword arguments, and the options of ``Client.submit`` such as ``pure``,
                ``retries`` and ``resources``.

        Returns:
            A Deferred like that of `result`. If the client has no connection to the scheduler, it
            fails with `cancelweb.Unavailable` at once. If ``Client.submit`` raises, it fails with
            that exception. In a cancelled scope nothing is submitted, and it fails with
            `cancelweb.StartRefused`, except during cleanup: see `cancelweb.cleaning`.

        Raises:
            TypeError: ``function`` is not a function.
        """
        check_function("function", function)
        return begin("a Dask task", maybeDeferred, self._submit, function, args, kwargs)

    def _submit(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Deferred[Any]:
        lost = loss_of(self._client)
        if lost is not None:
            return fail(lost)
        return _wait_for(self._client.submit(function, *args, **kwargs), True)


def result(future: Future[R]) -> Deferred[R]:
    """Wait for the result of a future.

    When the Deferred is cancelled, the future is released, unless other code waits for it with this
    function or returned or tracked it, too. Dask gives a task up when no future wants its result
    any more: neither another future with the same key nor a future that depends on it. A task that
    is given up before it has begun never runs. A running task finds out with `check`.

    Args:
        future: a future of a synchronous client, or on Twisted's asyncio reactor of an
            asynchronous one. A request that leaves releases it, so do not keep it for others.

    Returns:
        A Deferred that fires with the result, or fails with the exception of the task. After a
        cancel it fails with CancelledError. It does so when no worker runs the task any more, nor
        a task that was given up with it; or at once if the task goes on for others. If the
        connection to the scheduler is lost, it fails with `cancelweb.Unavailable`. If the event
        loop of the client does not run, it fails with ``RuntimeError``. In a cancelled scope it
        fails with `cancelweb.StartRefused`, except during cleanup: see `cancelweb.cleaning`.

    Raises:
        TypeError: ``future`` is not a ``distributed.Future``.
        ValueError: ``future`` belongs to no client.
    """
    check_instance("future", future, Future, "a distributed.Future")
    if future.client is None:
        raise ValueError(
            f"the future {future.key!r} belongs to no client, so its result cannot arrive. Use a "
            "future that a client of this process has returned, for example from client.submit"
        )
    return begin("a wait for a Dask task", maybeDeferred, _wait_for, future, False)


def _wait_for(future: Future[R], is_ours: bool) -> Deferred[R]:
    canceller = FutureCanceller(future, is_ours)
    wait: Wait[R] = Wait(lambda _: canceller.cancel())
    waiting = wait.deferred
    assert waiting is not None
    canceller.watch(wait.end)
    return place(waiting, canceller.place)


def check() -> None:
    """Raise if the result of this task is not wanted any more.

    Call it on a worker, in a function or coroutine function that runs as a Dask task; elsewhere it
    does nothing. It asks only the worker's own process, which the scheduler has told, so it is
    cheap. It works in the thread in which Dask calls the function, or in the asyncio task of a
    coroutine function. Threads and tasks that the function starts are unknown to it. In an executor
    of processes it does nothing.

    Raises:
        TaskCancelled: every future that wanted the result was released or cancelled.
    """
    raise_if_cancelled()

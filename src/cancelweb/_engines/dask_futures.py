"""The canceller of a Dask future, for the reactor's thread.

`dask_cluster` has what happens once a future is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from attrs import define, field
from distributed import Future
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from .._kinds.cancellers import OneShot, Settled, drop, global_reactor
from .._kinds.where import Place
from .dask_cluster import Cluster, GivenUp, cluster_of
from .dask_loops import call_on_loop, loss_of, lost_or

_waits: WeakKeyDictionary[Future[Any], int] = WeakKeyDictionary()
"""How many cancellers wait for a future; used in the reactor's thread alone."""


@define(eq=False)
class FutureCanceller(OneShot):
    """Gives up a future, unless another canceller waits for the same one.

    It settles with the result. After a cancel it settles when no worker runs the task any longer,
    or at once if the task runs on for another future or another canceller.

    Attributes:
        work: the future.
        is_ours: whether no other code has the future, so that it is released at the end. Python may
            keep it longer: from 3.12 on a coroutine that has caught an error is in a cycle.
        place: the key of its task and, once it is given up, the workers that still run it.
    """

    work: Future[Any]
    is_ours: bool = False
    place: Place = field(init=False)
    is_result_lost = True
    _is_cancelled: bool = field(default=False, init=False)
    _task: asyncio.Future[Any] | None = field(default=None, init=False)
    """Waits for the result. Used on the event loop of the client alone, as is the next field."""
    _is_fetching: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.place = Place(f"Dask task {self.work.key}")

    def watch(self, settled: Settled) -> None:
        self._settled = settled
        self._call(self._begin)
        _waits[self.work] = _waits.get(self.work, 0) + 1

    def cancel(self) -> None:
        if self._settled is not None and not self._is_cancelled:
            self._is_cancelled = True
            is_last = self._leave()
            self._call(self._give_up, cluster_of(self.work.client) if is_last else None)

    def where(self) -> str:
        return self.place.text

    def describe(self) -> str:
        return f"Dask task {self.work.key}"

    # --- in the reactor's thread ---

    def _call(self, function: Callable[..., object], *args: object) -> None:
        client = self.work.client
        if client.status == "closed":
            self._ended(loss_of(client))
        else:
            call_on_loop(client, function, *args)

    def _leave(self) -> bool:
        """End this wait; returns whether it was the last for this future."""
        _waits[self.work] -= 1
        return not _waits[self.work]

    def _arrived(self, result: Any) -> None:
        if not self._is_cancelled:
            self._leave()
            self._settle(result)

    def _settle(self, result: Any) -> None:
        if self.is_ours:
            self.work.release()
        drop(self.settle(result))

    # --- on the event loop of the client ---

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._result())
        self._task.add_done_callback(self._done)

    async def _result(self) -> Any:
        future = self.work
        error = await future.exception()
        if error is not None:
            # If it were raised here, it and the frames of Dask and of this method would form a
            # cycle.
            return Failure(error, type(error), await future.traceback())
        # Dask may fetch the results of several futures at once: a cancel would reach all of them.
        self._is_fetching = True
        return await future.result()

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._task = None
        # An exception that is raised here would form a cycle with this method's frame.
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        client = self.work.client
        result = task.result() if error is None else Failure(lost_or(error, client))
        global_reactor().callFromThread(self._arrived, result)

    def _give_up(self, cluster: Cluster | None) -> None:
        if self._task is not None and not self._is_fetching:
            self._task.cancel()
        if cluster is None:
            self._ended(None)
        else:
            cluster.give_up(GivenUp(self.work, self.place, self._ended))

    def _ended(self, error: BaseException | None) -> None:
        result = Failure(CancelledError() if error is None else error)
        global_reactor().callFromThread(self._settle, result)

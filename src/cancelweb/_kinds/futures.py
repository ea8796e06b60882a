"""How to stop the futures of the standard library.

One canceller a kind; which is used for what is registered in `_cancellers`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any

from attrs import define
from twisted.python.failure import Failure

from .cancellers import Canceller, Settled, global_reactor, log_rest


@define(eq=False)
class AsyncioFutureCanceller(Canceller):
    """Cancels an asyncio Future or Task; settled when it has really ended."""

    future: asyncio.Future[Any]

    def __attrs_post_init__(self) -> None:
        if not self.future.get_loop().is_running():
            raise RuntimeError(
                f"{self.future!r} can never end: its event loop does not run. Run the server "
                "under Twisted's asyncio reactor: twist --reactor=asyncio ..."
            )

    def watch(self, settled: Settled) -> None:
        self.future.add_done_callback(lambda future: log_rest(settled(_result_of(future))))

    def cancel(self) -> None:
        # As with a Deferred, a second request would cut short a task that cleans up.
        if not (isinstance(self.future, asyncio.Task) and self.future.cancelling()):
            self.future.cancel()


@define(eq=False)
class ConcurrentFutureCanceller(Canceller):
    """Cancels a concurrent.futures.Future that has not begun; one that runs is waited for."""

    future: concurrent.futures.Future[Any]

    def watch(self, settled: Settled) -> None:
        call_from_thread = global_reactor().callFromThread

        def done(future: concurrent.futures.Future[Any]) -> None:
            # Called in the thread that did the work.
            call_from_thread(lambda: log_rest(settled(_result_of(future))))

        self.future.add_done_callback(done)

    def cancel(self) -> None:
        self.future.cancel()


def _result_of(future: Any) -> Any:
    try:
        return future.result()
    except BaseException:
        return Failure()

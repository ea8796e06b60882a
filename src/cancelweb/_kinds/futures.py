"""Cancel the futures of the standard library: ``asyncio`` and ``concurrent.futures``.

One canceller per kind; `registry` maps kinds to cancellers.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterable
from contextvars import Context
from typing import Any

from attrs import define, field
from twisted.python.failure import Failure

from .cancellers import Canceller, Settled, drop, global_reactor
from .contexts import live_contexts_of
from .executors import behind
from .let_go import Unstopped, watch_over_all
from .stacks import stack_of
from .where import lines_of


@define(eq=False)
class AsyncioFutureCanceller(Canceller):
    """Cancels an asyncio Future or Task, and settles when it has really ended."""

    work: asyncio.Future[Any]
    is_result_lost = True
    _unstopped: tuple[Unstopped, ...] = field(default=(), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not self.work.get_loop().is_running():
            raise RuntimeError(
                f"{self.work!r} can never end, because its event loop does not run. Run the "
                "server on Twisted's asyncio reactor: twist --reactor=asyncio ..."
            )

    def watch(self, settled: Settled) -> None:
        self.work.add_done_callback(lambda future: drop(settled(_result_of(future))))

    def cancel(self) -> None:
        # A second cancel would cut short the cleanup of a task, as it would for a coroutine.
        if not (isinstance(self.work, asyncio.Task) and self.work.cancelling()):
            found = behind([self.work])
            # Read this before the cancel: afterwards the work no longer waits anywhere.
            told = "\n".join(lines_of(self.work)) if found.deferreds or found.calls else ""
            self._unstopped = watch_over_all(found.deferreds, told)
            self.work.cancel()
            self._unstopped += found.running(told)

    def unstopped(self) -> tuple[Unstopped, ...]:
        return self._unstopped

    def live_contexts(self) -> Iterable[Context]:
        return live_contexts_of(self.work)

    def where(self) -> str:
        return stack_of(self.work) or self.describe()


@define(eq=False)
class ConcurrentFutureCanceller(Canceller):
    """Cancels a ``concurrent.futures.Future`` that has not begun; a running one it waits for."""

    work: concurrent.futures.Future[Any]
    is_result_lost = True

    def watch(self, settled: Settled) -> None:
        call_from_thread = global_reactor().callFromThread

        def done(future: concurrent.futures.Future[Any]) -> None:
            # This runs in the thread that did the work.
            call_from_thread(lambda: drop(settled(_result_of(future))))

        self.work.add_done_callback(done)

    def cancel(self) -> None:
        self.work.cancel()


def _result_of(future: Any) -> Any:
    try:
        return future.result()
    except BaseException:
        return Failure()

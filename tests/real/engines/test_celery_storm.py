"""Celery tasks whose clients leave at once, more than the worker can run.

What belongs here: storms, counted on the worker's side. What does not: single tasks, which
`test_celery_stopped` has.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from cancelweb import Ended
from cancelweb.celery import Calls

from ..._servers import LoggedProcess, reactor
from ._worker import CeleryTestCase, call_id, place_of, until, visited

PROCESSES = 10
CLIENTS = 50
SURVIVES = 10
"""Seconds after which work survives: far less than the tasks take that are not stopped."""


class LeaveAtOnceTests(CeleryTestCase):
    """Fifty clients leave at once, while the worker runs ten tasks and has taken the others."""

    async def test_never_run(self) -> None:
        """Running tasks end soon, and the worker begins none of the tasks behind them."""
        worker = await self.start_worker(processes=PROCESSES)
        # If it were killed, the processes of its pool would keep its log open.
        self.addCleanup(worker.stop)
        await self.leave_at_once(worker, self.calls, ("look", "1"))
        for name, signal in ("2", "SIGUSR1"), ("3", "SIGTERM"):
            calls = Calls(self.app, terminate=signal)
            await self.leave_at_once(worker, calls, ("sleep", name, 60))

    async def leave_at_once(
        self, worker: LoggedProcess, calls: Calls, task: tuple[str, str, *tuple[Any, ...]]
    ) -> None:
        """Disconnect all clients in one turn, and count the tasks that have begun."""
        start = partial(self.run_task, *task, calls=calls)
        pairs = [visited(start, clock=reactor, survivor_after=SURVIVES) for _ in range(CLIENTS)]
        await self.are_taken(worker, task[1], [call for _, call in pairs])
        for visit, _ in pairs:
            visit.disconnect()
        await until(lambda: all(visit.outcomes for visit, _ in pairs))
        self.assertEqual({visit.outcome.ended for visit, _ in pairs}, {Ended.STOPPED})
        # The worker begins tasks in their order.
        self.assertEqual(await self.run_task("add", 1, 2), 3)
        self.assertEqual(len(worker.log.matching(f"{task[1]} begins")), PROCESSES)

    async def are_taken(
        self, worker: LoggedProcess, name: str, calls: Sequence[Deferred[Any]]
    ) -> None:
        """Wait until the worker has taken as many tasks as it can."""
        await until(lambda: len(worker.log.matching(f"{name} begins")) == PROCESSES)
        await until(lambda: all("not sent yet" not in place_of(each) for each in calls))
        ids = {call_id(each) for each in calls}
        await until(lambda: len(received(worker) & ids) >= 4 * PROCESSES)


def received(worker: LoggedProcess) -> set[str]:
    """The tasks that the worker has taken."""
    return {line.partition("[")[2].partition("[")[2].partition("]")[0] for line in worker.log.lines}

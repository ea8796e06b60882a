"""The example of RQ, `rq_report` with `rq_canceller`, served by its command, with real workers.

What belongs here: the example. What does not: what its canceller does, which `test_rq` tests.
"""

from ..._servers import LoggedProcess
from .._examples import ExampleTestCase, Reader
from ._rq import RQTestCase, horses, until


class RQTests(RQTestCase, ExampleTestCase):
    """A program that a worker runs for a client."""

    def setUp(self) -> None:
        """Start Redis, and make a directory for the server."""
        RQTestCase.setUp(self)
        ExampleTestCase.setUp(self)

    async def test_answer(self) -> None:
        """A client that waits gets the output of the program."""
        server = await self.serve("rq_report.py", REDIS_URL=self.redis.url)
        await self.start_worker()
        waiter = await server.connect(Reader("/"))
        self.assertIn(b"load average", await waiter.closed)
        self.assert_quiet(server)

    async def test_fifty_clients_leave(self) -> None:
        """When fifty clients leave, each job leaves the queue or is killed, and none completes."""
        server = await self.serve("rq_report.py", REDIS_URL=self.redis.url)
        workers = [await self.start_worker() for _ in range(2)]
        leavers = [await server.connect(Reader("/")) for _ in range(50)]
        await until(lambda: self.queue.count == 48 and all(map(horses, workers)))
        for leaver in leavers:
            leaver.leave()
        await until(lambda: self.queue.count == 0)
        # A worker may take one job more before the server knows that its client has left.
        await until(lambda: told(workers, "check_output") == told(workers, "[Kk]illed horse"))
        self.assertEqual(self.finished(), [])
        self.assertLess(told(workers, "check_output"), 10)
        await self.assert_stopped(server)
        self.assert_quiet(server)


def told(workers: list[LoggedProcess], what: str) -> int:
    """How many lines of the logs of these workers have this in them."""
    return sum(len(worker.log.matching(what)) for worker in workers)

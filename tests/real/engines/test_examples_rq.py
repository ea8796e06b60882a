"""The example of RQ, served by the command in its docstring, with a real worker."""

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
        registry = self.queue.started_job_registry
        await until(lambda: self.queue.count + registry.count == 0)
        await until(lambda: not any(map(horses, workers)))
        self.assertEqual(self.finished(), [])
        # A worker may have taken a second job, before the server noticed that its client has left.
        taken = sum(len(worker.log.matching("check_output")) for worker in workers)
        killed = sum(len(worker.log.matching("killed horse")) for worker in workers)
        self.assertEqual(taken, killed)
        self.assertLess(taken, 10)
        await self.assert_stopped(server)
        self.assert_quiet(server)

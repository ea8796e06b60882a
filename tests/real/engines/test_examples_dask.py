"""The example with Dask, served by the command in its docstring.

What belongs here: that program, with a cluster. What does not: the module that it uses.
"""

from distributed import Client
from twisted.internet.task import deferLater

from .._examples import ExampleTestCase, Reader
from ._dask import dask_cluster, reactor
from ._dask_tasks import ROUND


def running(client: Client) -> int:
    """How many tasks the workers run."""
    told = client.run(lambda dask_worker: len(dask_worker.state.executing))
    return sum(told.values())


class ExamplesTests(ExampleTestCase):
    """The example does what its docstring says."""

    async def test_dask_report_stops(self) -> None:
        """A report stops when its client has left; another client gets its own."""
        cluster = dask_cluster()
        client = cluster.connect(self)
        server = await self.serve("dask_report.py", DASK_SCHEDULER_ADDRESS=cluster.address)
        leaver = await server.connect(Reader("/2025"))
        waiter = await server.connect(Reader("/2026"))
        while running(client) < 2:
            await deferLater(reactor, ROUND)
        leaver.leave()
        await self.assert_stopped(server)
        self.assertEqual(running(client), 1)
        self.assertTrue((await waiter.closed).endswith(b" busy days\n"))
        self.assertEqual(running(client), 0)
        self.assert_quiet(server)

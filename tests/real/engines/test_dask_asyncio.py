"""Asynchronous Dask clients, on asyncio's reactor and on others.

What belongs here: the run of `dask_asyncio_cases` in a process with that reactor, and what is said
where it is missing. What does not: the cases themselves.
"""

import asyncio
from typing import Any

from distributed import Client
from twisted.trial.unittest import TestCase

from cancelweb.dask import Calls, result

from .._asyncio import run_under_asyncio
from ._dask import LONGEST_START, dask_cluster
from ._dask_tasks import double


class AsyncioReactorTests(TestCase):
    """The cases of asyncio, in a process whose reactor is asyncio's."""

    timeout = 120

    async def test_cases(self) -> None:
        """The cases all succeed under asyncio's reactor, and there are some."""
        report = await run_under_asyncio(self, "tests.real.engines.dask_asyncio_cases")
        self.assertRegex(report, r"PASSED \(successes=\d\)")
        # Dask and asyncio complain about what is left on the event loop.
        self.assertNotIn("was destroyed", report)
        self.assertNotIn("never retrieved", report)


class OtherReactorTests(TestCase):
    """An asynchronous client whose event loop does not run."""

    timeout = 120

    async def test_words(self) -> None:
        """A call or a wait fails, and the error says which reactor to use."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)

        async def connect() -> Client:
            client: Client = await Client(
                dask_cluster().address,
                asynchronous=True,
                timeout=LONGEST_START,
                set_as_default=False,
            )
            return client

        client: Any = loop.run_until_complete(connect())
        self.addCleanup(lambda: loop.run_until_complete(client.close()))
        for start in (
            lambda: Calls(client).run(double, 1),
            lambda: result(client.submit(double, 1)),
        ):
            with self.assertRaisesRegex(RuntimeError, "twist --reactor=asyncio"):
                await start()

"""Futures and Tasks of asyncio, under the asyncio reactor and without it.

What belongs here: the run of `asyncio_cases` in a process with that reactor, and what is said
where it is missing. What does not: the cases themselves.
"""

import asyncio
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.trial.unittest import TestCase
from twisted.web.server import Request

from ..._pages import PAGE
from ..._visits import VisitTestCase
from .._asyncio import run_under_asyncio

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class AsyncioReactorTests(TestCase):
    """The cases of asyncio, in a process whose reactor is asyncio's."""

    timeout = 120

    async def test_cases(self) -> None:
        """The cases of asyncio all succeed under its reactor, and there are some."""
        report = await run_under_asyncio(self, "tests.real.system.asyncio_cases")
        self.assertRegex(report, r"PASSED \(successes=\d\d+\)")


class OtherReactorTests(VisitTestCase):
    """Futures under any other reactor, which does not run their event loop."""

    def setUp(self) -> None:
        super().setUp()
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)

    def test_returned(self) -> None:
        """A handler that returns a Future is a 500, and the log says what to do."""
        error = self.assert_failed(self.visit(lambda _: self.loop.create_future()), RuntimeError)
        self.assertIn("its event loop does not run", str(error))
        self.assertIn("twist --reactor=asyncio", str(error))

    def test_done(self) -> None:
        """A handler that returns a done Future is a 500, as the callbacks never come."""

        def handler(_: Request) -> object:
            future = self.loop.create_future()
            future.set_result(PAGE)
            return future

        self.assert_failed(self.visit(handler), RuntimeError)

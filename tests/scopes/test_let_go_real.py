"""Twisted's own work that nothing can stop: a function in a thread, and a body that is read."""

from collections.abc import Callable
from threading import Event
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import AlreadyCalledError, Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import readBody
from twisted.web.server import Request

from cancelweb import CancellingResource, Ended, Outcome
from cancelweb.monitor import Monitor

from .._docs import PURE_WAIT, run
from .._pages import Page
from .._visits import Visit, connect
from ..stoppable._asking import AskingTestCase
from ..stoppable._upstreams import HEAD, reactor
from ._let_go import LetGoTestCase


class ThreadTests(TestCase):
    """Twisted's `deferToThread`."""

    timeout = 30

    async def test_runs_on(self) -> None:
        """A function in a thread is let go, and a monitor lists it until it has returned."""
        monitor, outcomes, go_on = Monitor(), list[Outcome](), Event()
        began: Deferred[None] = Deferred()

        def compute() -> None:
            reactor.callFromThread(began.callback, None)
            go_on.wait(20)

        async def handler(_: Request) -> None:
            await deferToThread(compute)

        root = CancellingResource(
            Page(handler), monitor=monitor, observers=outcomes.append, clock=reactor
        )
        connection = connect(root)
        connection.get()
        await began
        connection.disconnect()
        self.assertEqual([each.ended for each in outcomes], [Ended.LET_GO])
        [let_go] = monitor.let_go
        self.assertIn("handler", let_go.where)
        go_on.set()
        while monitor.let_go:
            await deferLater(reactor, 0)


class PureWaitTests(LetGoTestCase):
    """The documented way to declare a wait behind which there is nothing to stop."""

    def test_counts_as_stopped(self) -> None:
        """A pure wait whose client leaves counts as stopped, and the other client is answered."""
        news: Any = run(PURE_WAIT.read_text())["News"]()
        stays, leaves = Visit(lambda _: news.next()), Visit(lambda _: news.next())
        leaves.disconnect()
        self.assertIs(leaves.outcome.ended, Ended.STOPPED)
        news.tell(b"page")
        self.assertEqual(stays.response.body, b"page")


class ReadBodyTests(AskingTestCase):
    """Twisted's `readBody`."""

    timeout = 30

    async def ended(self, ask: Callable[[], Any]) -> Ended:
        """How a handler ends whose client leaves while it reads the body of a response."""
        reading: Deferred[None] = Deferred()

        async def handler(_: Request) -> bytes:
            response = await ask()
            reactor.callLater(0, reading.callback, None)
            return await readBody(response)

        connection = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(HEAD + b"the first part")
        await reading
        connection.leave()
        ended = (await self.outcome).ended
        exchange.close()
        while any(isinstance(each, tcp.Client) for each in reactor.getReaders()):
            await deferLater(reactor, 0)
        return ended

    async def test_with_a_plain_agent(self) -> None:
        """A body that is read with a plain `Agent` is let go, since a cancel does not stop it."""
        self.assertIs(await self.ended(self.plain), Ended.LET_GO)
        # Twisted warns of it, and trips over the body's end afterwards.
        self.flushWarnings()
        self.flushLoggedErrors(AlreadyCalledError)

    async def test_with_ours(self) -> None:
        """A body that is read with a `CancellingAgent` is stopped."""
        self.assertIs(await self.ended(self.get), Ended.STOPPED)

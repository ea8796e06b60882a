"""Requests to an upstream, over real sockets: dropped in every phase when the client leaves.

What belongs here: handlers that ask an upstream with Twisted's Agent or with treq. What does not:
the proxy.
"""

import contextlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.web.client import (
    FileBodyProducer,
)
from twisted.web.server import Request

from cancelweb import Ended, current_scope

from ._asking import READERS, Asking, AskingTestCase, always, plenty
from ._upstreams import HEAD, Deaf, reactor


class PhaseTests(AskingTestCase):
    """Clients that leave in each phase of an exchange with the upstream."""

    async def test_connecting(self) -> None:
        """When the client leaves, an attempt to connect to the upstream is given up."""
        deaf = Deaf()
        self.addCleanup(deaf.close)
        self.url = f"http://127.0.0.1:{deaf.port}/"
        for ask in [self.get, self.treq, self.plain]:
            self.outcome = Deferred()
            connection = await self.visit(self.page(always(ask)))
            await self.until(deaf.connecting)
            connection.leave()
            self.assertEqual((await self.outcome).ended, Ended.STOPPED)
            await self.until(lambda: not deaf.connecting())

    async def test_waiting_for_headers(self) -> None:
        """A request that is not answered yet is dropped, also by a plain agent."""
        for ask in [self.get, self.treq, self.plain]:
            self.outcome = Deferred()
            connection = await self.visit(self.page(always(ask)))
            exchange = await self.upstream.exchange()
            await exchange.asked()
            await self.assert_dropped(exchange, connection)

    async def test_several_at_once(self) -> None:
        """Several requests are dropped, whether they are awaited together or tracked."""

        async def gathered(_: Request) -> bytes:
            await gatherResults([self.get(), self.get()], consumeErrors=True)
            return b""

        async def tracked(_: Request) -> bytes:
            for request in [self.get(), self.get()]:
                current_scope().track(request)
            return await Deferred()

        for handler in [gathered, tracked]:
            self.outcome = Deferred()
            connection = await self.visit(self.page(handler))
            exchanges = [await self.upstream.exchange() for _ in range(2)]
            for exchange in exchanges:
                await exchange.asked()
            connection.leave()
            for exchange in exchanges:
                await exchange.lost
            self.assertEqual((await self.outcome).ended, Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_a_request_that_is_not_awaited(self) -> None:
        """A request that is neither awaited nor tracked is dropped when its headers come."""

        async def handler(_: Request) -> bytes:
            self.get().addErrback(lambda _: None)
            return await Deferred()

        connection = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.asked()
        connection.leave()
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)
        exchange.say(HEAD + b"the first part")
        await exchange.lost

    async def test_sending_a_body(self) -> None:
        """A request whose client leaves while its body is sent is dropped."""
        self.upstream.reads = False
        body = FileBodyProducer(BytesIO(plenty()))
        ask = [
            lambda: self.agent.request(b"POST", self.url.encode(), None, body),
            lambda: HTTPClient(self.agent).post(self.url, data=plenty()),
        ]
        for each in ask:
            self.outcome = Deferred()
            connection = await self.visit(self.page(always(each)))
            exchange: Any = await self.upstream.exchange()
            connection.leave()
            self.assertEqual((await self.outcome).ended, Ended.STOPPED)
            exchange.transport.resumeProducing()
            await exchange.lost
            self.assertLess(len(exchange.body), len(plenty()))

    async def test_reading_the_body(self) -> None:
        """A response whose client leaves is dropped, in whatever way its body is read."""
        for name, read in READERS.items():
            for get in [self.get, self.treq, lambda: self.treq(unbuffered=True)]:
                await self.assert_dropped_in_body(name, read, get)

    async def assert_dropped_in_body(
        self, name: str, read: Asking, get: Callable[[], Deferred[Any]]
    ) -> None:
        """A response is dropped that is asked for in one way, and read in one way."""
        self.outcome = Deferred()
        begun: Deferred[None] = Deferred()

        async def handler(_: Request) -> bytes:
            response = await get()
            reactor.callLater(0, begun.callback, None)
            return bytes(await read(response))

        connection = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(HEAD + b"the first part")
        await begun
        await self.assert_dropped(exchange, connection)

    async def test_unread(self) -> None:
        """A response whose body is not being read is dropped when the client leaves."""
        answered: Deferred[None] = Deferred()

        async def handler(_: Request) -> bytes:
            await self.get()
            reactor.callLater(0, answered.callback, None)
            return await Deferred()

        connection = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(HEAD)
        await answered
        await self.assert_dropped(exchange, connection)

    async def test_asked_for_too_late(self) -> None:
        """Reading the body of a response that was dropped raises a CancelledError."""
        for read in READERS.values():
            self.outcome, told = Deferred(), Deferred[object]()

            async def handler(_: Request, read: Asking = read, told: Any = told) -> bytes:
                response = await self.get()
                with contextlib.suppress(CancelledError):
                    await Deferred()
                await deferLater(reactor, 0)
                try:
                    await read(response)
                except CancelledError as error:
                    told.callback(error)
                return b""

            connection = await self.visit(self.page(handler))
            exchange = await self.upstream.exchange()
            await exchange.asked()
            exchange.say(HEAD + b"the first part")
            connection.leave()
            await exchange.lost
            await told
            await self.outcome
        self.assertEqual(self.flushLoggedErrors(), [])

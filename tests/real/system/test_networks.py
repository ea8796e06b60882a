"""Clients that leave over real sockets, in every way and at every moment.

Each test is run over HTTP/1.1, over HTTP/1.1 with TLS, and over HTTP/2; in each the client leaves
by a FIN, by a reset, by half a close, and by what HTTP/2 has for it.
"""

import gc
from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred

from cancelweb import Disconnected, Ended

from ..._pages import PAGE, Handler
from .._leavers import AnyClient, LeaverTestCase, Multiplexer

CHUNK = b"x" * 2**16


class TCPTests(LeaverTestCase):
    """HTTP/1.1 in the clear."""

    async def gone(self, client: AnyClient) -> None:
        """The client is gone; nothing of it is left, and nobody was alarmed."""
        await self.close(client)
        del client
        await self.until(lambda: not self.still_there())
        self.assertEqual(self.alarms, [])

    def still_there(self) -> list[object]:
        """What is left of requests, but for what Twisted leaves to the collector."""
        gc.collect()
        return list(self.alive)

    async def stopped(self, client: AnyClient) -> None:
        """The client's request was stopped."""
        outcome = await self.ended.get()
        self.assertEqual(outcome.ended, Ended.STOPPED)
        self.assertIsInstance(outcome.cause, Disconnected)
        del outcome
        await self.gone(client)

    async def test_while_the_handler_waits(self) -> None:
        """While the handler waits: it is stopped."""
        self.serve(lambda _: Deferred())
        for way in self.client_class.WAYS:
            client = await self.connect()
            client.ask("/")
            await self.started.get()
            client.leave_by(way)
            await self.stopped(client)

    async def test_in_the_middle_of_its_body(self) -> None:
        """In the middle of the body that it sends: no handler is called, and nothing is left."""
        self.serve(lambda _: Deferred())
        for way in self.client_class.WAYS:
            client = await self.connect()
            client.begin_post()
            await self.until(lambda: self.alive)
            client.leave_by(way)
            await self.gone(client)
        self.assertEqual(self.started.pending, [])

    async def test_in_the_middle_of_a_large_response(self) -> None:
        """In the middle of a large response: its generator is closed."""
        closed: list[str] = []

        async def handler(request: Any) -> AsyncIterator[bytes]:
            try:
                while True:
                    yield CHUNK
            finally:
                closed.append(request.path)

        self.serve(handler)
        for way in self.client_class.WAYS:
            client = await self.connect()
            client.ask("/")
            await client.until(CHUNK[:1000])
            client.leave_by(way)
            await self.ended.get()
            await self.gone(client)
        self.assertEqual(len(closed), len(self.client_class.WAYS))

    async def test_during_the_second_of_two_requests(self) -> None:
        """When the first of two requests was answered: the second is stopped, and only it."""
        works: dict[str, Deferred[bytes]] = {}

        def handler(request: Any) -> Deferred[bytes]:
            return works.setdefault(request.path.decode(), Deferred(lambda _: None))

        self.serve(handler)
        for way in self.client_class.WAYS:
            client = await self.connect()
            client.ask("/1", "/2")
            await self.started.get()
            works.pop("/1").callback(PAGE)
            await self.started.get()
            first = await self.ended.get()
            self.assertEqual((first.path, first.ended), (b"/1", Ended.COMPLETED))
            client.leave_by(way)
            await self.stopped(client)
            works.clear()

    def leaving(self, clients: list[AnyClient], way: str, result: object) -> Handler:
        """A handler during whose call its client leaves."""

        def handler(_: object) -> object:
            clients[0].leave_by(way)
            return result

        return handler

    async def test_in_the_synchronous_part(self) -> None:
        """While the handler has not given control back: what it returns is stopped."""
        for way in self.client_class.WAYS:
            clients: list[AnyClient] = []
            self.serve(self.leaving(clients, way, Deferred(lambda _: None)))
            client = await self.connect()
            clients.append(client)
            client.ask("/")
            await self.stopped(client)

    async def test_in_the_synchronous_part_of_bytes(self) -> None:
        """If what it returns then is bytes, it has completed."""
        for way in self.client_class.WAYS:
            clients: list[AnyClient] = []
            self.serve(self.leaving(clients, way, PAGE))
            client = await self.connect()
            clients.append(client)
            client.ask("/")
            outcome = await self.ended.get()
            self.assertEqual((outcome.ended, outcome.cause), (Ended.COMPLETED, None))
            await self.gone(client)

    async def test_right_after_the_response(self) -> None:
        """When it has its response: nothing is stopped."""

        async def handler(_: object) -> bytes:
            return PAGE

        self.serve(handler)
        for way in self.client_class.WAYS:
            client = await self.connect()
            client.ask("/")
            await client.until(PAGE)
            client.leave_by(way)
            outcome = await self.ended.get()
            self.assertEqual((outcome.ended, outcome.cause), (Ended.COMPLETED, None))
            await self.gone(client)


class TLSTests(TCPTests):
    """HTTP/1.1 over TLS."""

    is_secure = True


class HTTP2Tests(TCPTests):
    """HTTP/2."""

    is_secure = True
    client_class = Multiplexer

    async def test_a_sibling_of_the_one_that_was_reset(self) -> None:
        """One stream is reset: its sibling completes."""
        works: dict[bytes, Deferred[bytes]] = {
            b"/1": Deferred(lambda _: None),
            b"/2": Deferred(lambda _: None),
        }
        self.serve(lambda request: works[request.path])
        client = await self.connect()
        left, sibling = client.get("/1"), client.get("/2")
        await self.started.get()
        await self.started.get()
        client.reset(left)
        self.assertEqual((await self.ended.get()).path, b"/1")
        works[b"/2"].callback(PAGE)
        await sibling.until(lambda stream: stream.ended)
        self.assertEqual(sibling.body, PAGE)
        await self.close(client)

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
    """Clients of HTTP/1.1 in the clear that leave."""

    async def gone(self, connection: AnyClient) -> None:
        """Close the client; nothing of its request is left, and nothing alarming was logged."""
        await self.close(connection)
        del connection
        await self.until(lambda: not self.still_there())
        self.assertEqual(self.alarms, [])

    def still_there(self) -> list[object]:
        """What is left of requests after a run of the garbage collector."""
        gc.collect()
        return list(self.alive)

    async def stopped(self, connection: AnyClient) -> None:
        """The client's request was stopped because it disconnected."""
        outcome = await self.ended.get()
        self.assertEqual(outcome.ended, Ended.STOPPED)
        self.assertIsInstance(outcome.cause, Disconnected)
        del outcome
        await self.gone(connection)

    async def test_while_the_handler_waits(self) -> None:
        """A handler whose client leaves while it waits is stopped."""
        self.serve(lambda _: Deferred())
        for way in self.client_class.WAYS:
            connection = await self.connect()
            connection.ask("/")
            await self.started.get()
            connection.leave_by(way)
            await self.stopped(connection)

    async def test_in_the_middle_of_its_body(self) -> None:
        """A client that leaves in the middle of its body causes no call of the handler."""
        self.serve(lambda _: Deferred())
        for way in self.client_class.WAYS:
            connection = await self.connect()
            connection.begin_post()
            await self.until(lambda: self.alive)
            connection.leave_by(way)
            await self.gone(connection)
        self.assertEqual(self.started.pending, [])

    async def test_in_the_middle_of_a_large_response(self) -> None:
        """A generator whose client leaves in the middle of the response is closed."""
        closed: list[str] = []

        async def handler(request: Any) -> AsyncIterator[bytes]:
            try:
                while True:
                    yield CHUNK
            finally:
                closed.append(request.path)

        self.serve(handler)
        for way in self.client_class.WAYS:
            connection = await self.connect()
            connection.ask("/")
            await connection.until(CHUNK[:1000])
            connection.leave_by(way)
            await self.ended.get()
            await self.gone(connection)
        self.assertEqual(len(closed), len(self.client_class.WAYS))

    async def test_during_the_second_of_two_requests(self) -> None:
        """A client that leaves after its first response stops only its second request."""
        works: dict[str, Deferred[bytes]] = {}

        def handler(request: Any) -> Deferred[bytes]:
            return works.setdefault(request.path.decode(), Deferred(lambda _: None))

        self.serve(handler)
        for way in self.client_class.WAYS:
            connection = await self.connect()
            connection.ask("/1", "/2")
            await self.started.get()
            works.pop("/1").callback(PAGE)
            await self.started.get()
            first = await self.ended.get()
            self.assertEqual((first.path, first.ended), (b"/1", Ended.COMPLETED))
            connection.leave_by(way)
            await self.stopped(connection)
            works.clear()

    def leaving(self, connections: list[AnyClient], way: str, result: object) -> Handler:
        """A handler during whose call its client leaves."""

        def handler(_: object) -> object:
            connections[0].leave_by(way)
            return result

        return handler

    async def test_in_the_synchronous_part(self) -> None:
        """A Deferred is stopped whose client left before the handler returned it."""
        for way in self.client_class.WAYS:
            connections: list[AnyClient] = []
            self.serve(self.leaving(connections, way, Deferred(lambda _: None)))
            connection = await self.connect()
            connections.append(connection)
            connection.ask("/")
            await self.stopped(connection)

    async def test_in_the_synchronous_part_of_bytes(self) -> None:
        """Bytes complete a request even if the client left before the handler returned them."""
        for way in self.client_class.WAYS:
            connections: list[AnyClient] = []
            self.serve(self.leaving(connections, way, PAGE))
            connection = await self.connect()
            connections.append(connection)
            connection.ask("/")
            outcome = await self.ended.get()
            self.assertEqual((outcome.ended, outcome.cause), (Ended.COMPLETED, None))
            await self.gone(connection)

    async def test_right_after_the_response(self) -> None:
        """A client that leaves when it has its response stops nothing."""

        async def handler(_: object) -> bytes:
            return PAGE

        self.serve(handler)
        for way in self.client_class.WAYS:
            connection = await self.connect()
            connection.ask("/")
            await connection.until(PAGE)
            connection.leave_by(way)
            outcome = await self.ended.get()
            self.assertEqual((outcome.ended, outcome.cause), (Ended.COMPLETED, None))
            await self.gone(connection)


class TLSTests(TCPTests):
    """Clients of HTTP/1.1 over TLS that leave."""

    is_secure = True


class HTTP2Tests(TCPTests):
    """Clients of HTTP/2 that leave."""

    is_secure = True
    client_class = Multiplexer

    async def test_a_sibling_of_the_one_that_was_reset(self) -> None:
        """A stream that is reset ends, and its sibling is answered."""
        works: dict[bytes, Deferred[bytes]] = {
            b"/1": Deferred(lambda _: None),
            b"/2": Deferred(lambda _: None),
        }
        self.serve(lambda request: works[request.path])
        connection = await self.connect()
        assert isinstance(connection, Multiplexer)
        left, sibling = connection.get("/1"), connection.get("/2")
        await self.started.get()
        await self.started.get()
        connection.reset(left)
        self.assertEqual((await self.ended.get()).path, b"/1")
        works[b"/2"].callback(PAGE)
        await sibling.until(lambda stream: stream.ended)
        self.assertEqual(sibling.body, PAGE)
        await self.close(connection)

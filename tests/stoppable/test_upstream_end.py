"""Requests to an upstream, over real sockets, that come to their end.

What belongs here: what is left alone, and what is dropped when the response is finished. What does
not: clients that leave.
"""

from io import BytesIO
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.web.client import (
    Agent,
    FileBodyProducer,
    HTTPConnectionPool,
    ResponseFailed,
    readBody,
)
from twisted.web.server import Request

from cancelweb import Ended
from cancelweb.upstream import CancellingAgent, stream_body

from ._asking import READERS, Asking, AskingTestCase, plenty, whole
from ._upstreams import HEAD, Exchange, reactor


class EndTests(AskingTestCase):
    """Exchanges with an upstream that end without a client leaving."""

    async def answer(self, exchange: Exchange, body: bytes = b"hello") -> None:
        """Answer a request as the upstream."""
        await exchange.asked()
        exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def test_whole(self) -> None:
        """A handler gets the whole body of the upstream, in whatever way the body is read."""
        for name, read in READERS.items():
            expected = b'{"a": 1}'
            got: list[Any] = []
            self.outcome = Deferred()

            async def handler(_: Request, read: Asking = read, got: list[Any] = got) -> bytes:
                got.append(await read(await self.treq()))
                return b""

            await self.visit(self.page(handler))
            await self.answer(await self.upstream.exchange(), expected)
            self.assertEqual((await self.outcome).ended, Ended.COMPLETED)
            known = {"treq.json_content": {"a": 1}, "treq.collect": None}
            if name == "treq.text_content":
                expected = expected.decode()  # type: ignore[assignment]
            self.assertEqual(got, [known.get(name, expected)], name)

    async def test_unread_when_finished(self) -> None:
        """A body that was never read is dropped when the response is finished."""

        async def handler(_: Request) -> bytes:
            return b"%d" % (await self.get()).code

        connection = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(HEAD)
        await exchange.lost
        self.assertTrue((await connection.closed).endswith(b"200"))
        outcome = await self.outcome
        self.assertEqual((outcome.cause, outcome.leftovers), (None, 1))

    async def test_arrives_late(self) -> None:
        """A response that arrives after the handler has answered is dropped."""
        asked: list[Deferred[Any]] = []

        def handler(_: Request) -> bytes:
            asked.append(self.get())
            return b"done"

        connection = await self.visit(self.page(handler))
        await connection.closed
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(HEAD)
        await exchange.lost
        await asked[0]

    async def test_kept_connection(self) -> None:
        """A connection of a pool is used again after a response that was read."""
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        self.agent = CancellingAgent(Agent(reactor, pool=pool))

        async def handler(_: Request) -> bytes:
            first = await readBody(await self.get())
            return first + await readBody(await self.get())

        connection = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await self.answer(exchange, b"one")
        await exchange.until(lambda received: received.count(b"\r\n\r\n") == 2)
        exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
        self.assertTrue((await connection.closed).endswith(b"onetwo"))

    async def test_body_is_sent(self) -> None:
        """The body of a request arrives whole at the upstream."""

        def handler(_: Request) -> Any:
            return HTTPClient(self.agent).post(self.url, data=plenty()).addCallback(treq.content)

        connection = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.until(lambda received: len(received) > len(plenty()))
        await self.answer(exchange)
        self.assertTrue((await connection.closed).endswith(b"hello"))
        self.assertEqual(exchange.body, plenty())

    async def test_body_cannot_be_read(self) -> None:
        """A request whose body raises when it is read fails with that error."""

        class Broken(BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise OSError("by design")

        body = FileBodyProducer(Broken(b"something"))
        asking = self.agent.request(b"POST", self.url.encode(), None, body)
        error: Any = (await self.assertFailure(asking, Exception)).reasons[0]
        self.assertIsInstance(error.value, OSError)

    async def test_upstream_fails(self) -> None:
        """Reading a body fails with ResponseFailed if the upstream breaks it off."""
        for read in [readBody, lambda response: whole(stream_body(response))]:
            asking = self.get()
            exchange = await self.upstream.exchange()
            await exchange.asked()
            exchange.say(HEAD + b"the first part")
            exchange.close()
            await self.assertFailure(read(await asking), ResponseFailed)

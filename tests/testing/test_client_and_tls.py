"""The public client over HTTP/2 and real connections agree: the same stories, played both ways.

What belongs here: stories of several streams on a connection. Those of HTTP/1.1 are in
`test_client_and_sockets`.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from cancelweb import Disconnected, Ended, Outcome, cancel_on_disconnect
from cancelweb.testing import Client

from .._http2 import HTTP2Client
from .._pages import Page
from .._servers import Log, SelfSigned, Server, reactor


class InMemory:
    """A connection of the kit."""

    def __init__(self, root: Resource) -> None:
        self._client = Client(root)
        self._connection = self._client.connect_http2()

    def get(self, path: str) -> Any:
        """Open a stream."""
        return self._connection.get(path.encode())

    def reset(self, stream: Any) -> None:
        """Leave a stream."""
        stream.reset()

    async def settle(self) -> None:
        """Have the server and the client read all that there is."""
        for _ in range(5):
            self._client.clock.advance(0)

    async def close(self) -> None:
        """Leave."""
        self._connection.disconnect()

    def got(self, stream: Any) -> tuple[bytes, bool]:
        """The body that has come, and whether it is complete."""
        response = stream.response
        return (b"", False) if response is None else (response.body, response.is_complete)


class OverTLS:
    """A connection over a socket."""

    _client: Any

    def __init__(self, root: Resource) -> None:
        self._site = Site(root)

    async def start(self, test: TestCase) -> None:
        """Listen, and connect."""
        certificate = SelfSigned.make(Path(test.mktemp()).resolve())
        port: Any = await serverFromString(reactor, certificate.listen()).listen(self._site)
        test.addCleanup(port.stopListening)
        server = Server(port.getHost().port, Log(), certificate)
        self._client = await server.connect(HTTP2Client(), b"h2")

    def get(self, path: str) -> Any:
        """Open a stream."""
        return self._client.get(path)

    def reset(self, stream: Any) -> None:
        """Leave a stream."""
        self._client.reset(stream)

    async def settle(self) -> None:
        """Have the server read all; what it has sent by then comes before it answers the pings."""
        await self._client.ping()
        await self._client.ping()

    async def close(self) -> None:
        """Leave."""
        self._client.transport.loseConnection()
        await self._client._lost

    def got(self, stream: Any) -> tuple[bytes, bool]:
        """The body that has come, and whether it is complete."""
        return stream.body, stream.ended


Way = InMemory | OverTLS


class AgreementTests(TestCase):
    """What the client in memory shows is what happens over TLS."""

    timeout = 60

    async def both(self, story: Callable[[Way], Awaitable[object]]) -> list[Any]:
        """Play a story both ways; returns what was told, which must be the same."""
        results = []
        for kind in InMemory, OverTLS:
            self.told: list[object] = []
            self.works: dict[bytes, Deferred[bytes]] = {}
            self.closed: Deferred[None] = Deferred()
            decorate: Any = cancel_on_disconnect(observers=self.tell)
            way: Way = kind(Page(decorate(self.handler)))
            if isinstance(way, OverTLS):
                await way.start(self)
            results.append([await story(way), *self.told])
            await way.close()
        self.assertEqual(results[0], results[1])
        return results[0]

    def handler(self, request: Request) -> Deferred[bytes]:
        """Wait; for the path "/begun", first send a part of the answer."""
        path: Any = request.path
        if path == b"/begun":
            request.write(b"begun")
        self.works[path] = Deferred(lambda _: None)
        return self.works[path]

    def tell(self, outcome: Outcome) -> None:
        """Note the outcome of a request."""
        failure = outcome.cause.failure if isinstance(outcome.cause, Disconnected) else None
        self.told.append((outcome.path, outcome.ended, failure and failure.type))

    async def test_reset_of_one_among_two(self) -> None:
        """A stream that is reset has its handler stopped, and another stream gets its answer."""

        async def story(way: Way) -> object:
            leaver, stayer = way.get("/1"), way.get("/2")
            await way.settle()
            way.reset(leaver)
            await way.settle()
            self.works[b"/2"].callback(b"answer")
            await way.settle()
            return way.got(leaver), way.got(stayer)

        got, *told = await self.both(story)
        self.assertEqual(got, ((b"", False), (b"answer", True)))
        self.assertEqual([each[1] for each in told], [Ended.STOPPED, Ended.COMPLETED])

    async def test_reset_in_the_middle_of_a_response(self) -> None:
        """A stream that is reset in the middle of its response gets no more of it."""

        async def story(way: Way) -> object:
            stream = way.get("/begun")
            await way.settle()
            way.reset(stream)
            await way.settle()
            return way.got(stream)

        got, *told = await self.both(story)
        self.assertEqual(got, (b"begun", False))
        self.assertEqual([each[1] for each in told], [Ended.STOPPED])

    async def test_closed_connection(self) -> None:
        """A client that closes its connection has the handlers of all its streams stopped."""

        async def story(way: Way) -> object:
            for path in ("/1", "/2", "/begun"):
                way.get(path)
            await way.settle()
            await way.close()
            for work in self.works.values():
                await self.stopped(work)
            return None

        _, *told = await self.both(story)
        self.assertEqual([each[1] for each in told], [Ended.STOPPED] * 3)

    async def stopped(self, work: Deferred[bytes]) -> None:
        """Wait until work has ended in any way."""
        ended: Deferred[None] = Deferred()
        work.addBoth(lambda _: ended.callback(None))
        await ended

"""Clients that close as soon as they have all that Content-Length announces, as curl does.

What belongs here: real sockets, with and without TLS, and a real WSGIResource.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, serverFromString, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase
from twisted.web.resource import IResource
from twisted.web.server import Request, Site
from twisted.web.wsgi import WSGIResource

from cancelweb import (
    CancellingResource,
    ContentLost,
    Disconnected,
    Ended,
    Outcome,
)

from .._loopback import connect, serve
from .._pages import Page
from .._servers import LOOPBACK, SelfSigned, reactor
from .._sockets import SocketConnection

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
MUCH = 2**24
"""More bytes than the kernel takes for a client that does not read."""


class DeliveredOverSocketsTests(TestCase):
    """A client that closes with the whole response has not left early.

    Attributes:
        lost: fires when Twisted has reported the loss.
        ended: fires with the outcome.
    """

    timeout = 30

    def setUp(self) -> None:
        """Create the Deferreds that report the loss and the outcome."""
        self.lost: Deferred[None] = Deferred()
        self.ended: Deferred[Outcome] = Deferred()

    def tell_loss(self, request: Request) -> None:
        """Fire `lost` when Twisted reports the loss of this request."""
        request.notifyFinish().addErrback(lambda _: self.lost.callback(None))

    async def page(self, request: Request) -> None:
        """Write the whole body, and end when the client has left."""
        self.tell_loss(request)
        request.setHeader(b"content-length", b"5")
        request.write(b"hello")
        await self.lost

    def wrapped(self, resource: IResource) -> CancellingResource:
        """Wrap the resource, with the observer of the test."""
        return CancellingResource(resource, observers=self.ended.callback)

    async def connect_over_tls(self, resource: Any) -> SocketConnection:
        """A client of the resource, over TLS."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        port: Any = await serverFromString(reactor, certificate.listen()).listen(Site(resource))
        self.addCleanup(port.stopListening)
        endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, port.getHost().port)
        connection = SocketConnection()
        secured = wrapClientTLS(certificate.trusting(), endpoint)
        await secured.connect(Factory.forProtocol(lambda: connection))
        self.addCleanup(connection.leave)
        return connection

    async def outcome(self, connection: SocketConnection, last: bytes = b"hello") -> Outcome:
        """The outcome of a request whose client closes after the last bytes."""
        connection.send(GET)
        await connection.until(last)
        await connection.leave()
        return await self.ended

    def assert_finished(self, outcome: Outcome) -> None:
        """The outcome is that of a request whose response was finished."""
        self.assertEqual((outcome.cause, outcome.ended), (None, Ended.COMPLETED))

    async def test_over_tcp(self) -> None:
        """A response over TCP whose client closes after the last byte has completed."""
        connection = await connect(self, serve(self, self.wrapped(Page(self.page))))
        self.assert_finished(await self.outcome(connection))

    async def test_over_tls(self) -> None:
        """A response over TLS whose client closes after the last byte has completed."""
        connection = await self.connect_over_tls(self.wrapped(Page(self.page)))
        self.assert_finished(await self.outcome(connection))

    async def test_wsgi(self) -> None:
        """A WSGI response whose client closes after the last byte completes; its input is lost."""
        read: list[object] = []

        def application(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
            write = start_response("200 OK", [("Content-Length", "5")])
            write(b"hello")
            left.wait(20)
            try:
                environ["wsgi.input"].read()
            except ContentLost as error:
                read.append(error)
            return []

        left, pool = Event(), ThreadPool(1, 1)
        pool.start()
        self.addCleanup(pool.stop)
        self.lost.addCallback(lambda _: left.set())

        class Telling(WSGIResource):
            """A `WSGIResource` that tells the test of the loss."""

            def render(_, request: Any) -> Any:  # noqa: N805
                """See `IResource`."""
                self.tell_loss(request)
                return WSGIResource.render(_, request)

        root = self.wrapped(Telling(reactor, pool, application))
        connection = await connect(self, serve(self, root))
        self.assert_finished(await self.outcome(connection))
        while not read:
            await deferLater(reactor, 0)

    async def test_unread(self) -> None:
        """A client that closes before it has read all bytes has left, though all were written."""

        async def handler(request: Request) -> None:
            request.setHeader(b"content-length", b"%d" % MUCH)
            request.write(bytes(MUCH))
            await Deferred(lambda _: None)

        connection = await connect(self, serve(self, self.wrapped(Page(handler))))
        connection.send(GET)
        await connection.until(b"\r\n\r\n")
        transport: Any = connection.transport
        transport.pauseProducing()
        transport.abortConnection()
        self.assertIsInstance((await self.ended).cause, Disconnected)

"""Clients that leave, over real sockets: HTTP/1.1, in the clear and over TLS, and HTTP/2.

What belongs here: a site that notes what it has in hand, and clients that ask and leave in every
way there is. What does not: what a test wants to prove of them.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast
from weakref import WeakSet

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import TestCase
from twisted.web.server import Request, Site

from cancelweb import Outcome, cancel_on_disconnect, scope_of

from .._http2 import HTTP2Client, Stream
from .._pages import Handler, Page
from .._servers import LOOPBACK, Log, SelfSigned, Server, reactor
from .._sockets import SocketConnection


class Caller(SocketConnection):
    """A client of HTTP/1.1."""

    WAYS: ClassVar[tuple[str, ...]] = ("fin", "rst", "half")
    OFFERED: ClassVar[tuple[bytes, ...]] = ()

    is_leaving = False

    @property
    def lost(self) -> Deferred[bytes]:
        """Fires when the connection is over."""
        return self.closed

    def ask(self, *paths: str) -> None:
        """Send requests, in one piece."""
        line = "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.send("".join(map(line.format, paths)).encode())

    def begin_post(self) -> None:
        """Send a request of whose body only a part ever comes."""
        self.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\npart")

    def leave_by(self, way: str) -> None:
        """Leave: in good order, by a reset, or by saying no more."""
        self.is_leaving = way != "half"
        if way == "fin":
            self.transport.loseConnection()
        elif way == "rst":
            self.transport.abortConnection()
        else:
            self.transport.loseWriteConnection()


class Multiplexer(HTTP2Client):
    """A client of HTTP/2."""

    WAYS: ClassVar[tuple[str, ...]] = ("fin", "rst", "goaway", "reset")
    OFFERED: ClassVar[tuple[bytes, ...]] = (b"h2",)

    transport: Any
    is_leaving = False

    @property
    def lost(self) -> Deferred[None]:
        """Fires when the connection is over."""
        return self._lost

    def ask(self, *paths: str) -> None:
        """Open a stream for each path."""
        for path in paths:
            self.get(path)

    def begin_post(self) -> None:
        """Open a stream of whose body only a part ever comes."""
        self.get("/", "POST", is_whole=False)

    async def until(self, what: bytes) -> None:
        """Wait until the client has received these bytes on its last stream."""
        await self._last().until(lambda stream: what in stream.body)

    def _last(self) -> Stream:
        return self.streams[max(self.streams)]

    def dataReceived(self, data: bytes) -> None:
        # Its library raises on what comes after a goodbye.
        if not self.is_leaving:
            super().dataReceived(data)

    def leave_by(self, way: str) -> None:
        """Leave: in good order, by a reset, by a goodbye, or by a reset of all streams."""
        self.is_leaving = way != "reset"
        if way == "reset":
            for stream in self.streams.values():
                if not stream.ended:
                    self.reset(stream)
        elif way == "goaway":
            self.close()
        elif way == "rst":
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()


AnyClient = Caller | Multiplexer
"""A client of either version of HTTP."""


class NotingRequest(Request):
    """A request that can be counted while it exists."""

    alive: ClassVar[WeakSet[Any]] = WeakSet()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.alive.add(self)


class LeaverTestCase(TestCase):
    """A server in this process, and what it has seen.

    Attributes:
        client_class: The class of the clients.
        is_secure: Whether over TLS.
        started: Gets the path of each request whose handler has begun.
        ended: Gets the outcome of each.
        counts: How many ended how, and why.
    """

    timeout = 30

    client_class: ClassVar[type[AnyClient]] = Caller
    is_secure: ClassVar[bool] = False

    def setUp(self) -> None:
        self.started: DeferredQueue[str] = DeferredQueue()
        self.ended: DeferredQueue[Outcome] = DeferredQueue()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.alive: WeakSet[Any] = WeakSet()
        NotingRequest.alive = self.alive
        self.alarms: list[str] = []
        globalLogPublisher.addObserver(cast(ILogObserver, self._note_alarm))
        self.addCleanup(globalLogPublisher.removeObserver, cast(ILogObserver, self._note_alarm))

    def _note_alarm(self, event: LogEvent) -> None:
        if event.get("log_level", LogLevel.info) > LogLevel.info or event.get("isError"):
            self.alarms.append(str(event.get("log_format") or event))

    def serve(self, handler: Handler, **options: Any) -> None:
        """Listen with a decorated handler."""

        def noting(request: Any) -> object:
            self.alive.update([scope_of(request), request.channel])
            result = handler(request)
            self.started.put(request.path.decode())
            return result

        decorate: Any = cancel_on_disconnect(**{"observers": self.note, **options})
        # Over HTTP/2 an idle timeout would strike clients that wait for long.
        site: Any = Site(Page(decorate(noting)), timeout=None)
        site.requestFactory = NotingRequest
        certificate = None
        if self.is_secure:
            certificate = SelfSigned.make(Path(self.mktemp()).resolve())
            pem = certificate.private_key.read_bytes() + certificate.certificate.read_bytes()
            tls = PrivateCertificate.loadPEM(pem).options()
            port = reactor.listenSSL(0, site, tls, backlog=1000, interface=LOOPBACK)
        else:
            port = reactor.listenTCP(0, site, backlog=1000, interface=LOOPBACK)
        self.addCleanup(port.stopListening)
        self.server = Server(port.getHost().port, Log(), certificate)

    def note(self, outcome: Outcome) -> None:
        """Note the outcome of a request."""
        self.counts[outcome.ended.name, type(outcome.cause).__name__] += 1
        self.ended.put(outcome)

    async def connect(self) -> AnyClient:
        """Connect a client."""
        return await self.server.connect(self.client_class(), *self.client_class.OFFERED)

    async def close(self, connection: AnyClient) -> None:
        """Close the connection of a client that has not left yet."""
        if not connection.is_leaving:
            connection.transport.abortConnection()
        await connection.lost

    async def until(self, holds: Callable[[], object]) -> None:
        """Let the reactor turn until a condition holds."""
        while not holds():
            await deferLater(reactor, 0)

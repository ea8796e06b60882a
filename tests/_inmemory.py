"""A client in memory: a real Site, channel and Request, on a clock that the test moves.

What belongs here: one connection whose other end is the test, and ways to look at the log
and for reference cycles afterwards. What does not: real sockets, and resources to be tested.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request, Site

from ._responses import Response, parsed


class Transport(StringTransport):
    """The server's end of a connection: closes it a turn after the server has asked for it.

    Attributes:
        aborted: Whether the server threw the connection away, with all that was unsent.
    """

    aborted = False

    def __init__(self, clock: Clock) -> None:
        super().__init__(lenient=True)
        self._clock = clock
        self._protocol: Any = None

    def connect(self, protocol: Any) -> None:
        """Connect a protocol of the server."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def deliver(self, data: bytes) -> None:
        """Bytes arrive at the server, unless it has closed the connection."""
        if self._protocol is not None and not self.disconnecting:
            self._protocol.dataReceived(data)

    def write(self, data: bytes) -> None:
        """Take bytes, which are lost if there is nobody left to send them to."""
        if self._protocol is not None and not self.aborted:
            super().write(data)

    def writeSequence(self, data: Any) -> None:
        """Take bytes in pieces, likewise."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close."""
        if not self.disconnecting:
            self.disconnecting = True
            self._clock.callLater(0, self.lose, Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        """Throw away."""
        if not self.aborted:
            self.aborted = self.disconnecting = True
            self._clock.callLater(0, self.lose, Failure(ConnectionAborted()))

    def lose(self, reason: Failure) -> None:
        """Tell the producer, and then the protocol, as every transport of Twisted does."""
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        producer, self.producer = self.producer, None
        self.connected, self.disconnected = False, True
        if producer is not None:
            producer.stopProducing()
        protocol.connectionLost(reason)


class Client:
    """One connection over HTTP/1, its requests and what was answered.

    Args:
        root: A resource, or a Site of which it is the connection.
        clock: What the Site takes for the reactor.
    """

    def __init__(self, root: Any, clock: Clock | None = None) -> None:
        self.clock = Clock() if clock is None else clock
        self.site = root if isinstance(root, Site) else Site(root, reactor=cast(Any, self.clock))
        self.transport = Transport(self.clock)
        self._methods: list[bytes] = []
        self.transport.connect(self.site.buildProtocol(None))
        self._protocol: Any = self.transport._protocol

    def request(
        self,
        method: bytes = b"GET",
        path: bytes = b"/",
        version: bytes = b"HTTP/1.1",
        headers: Mapping[bytes, bytes] | None = None,
        body: bytes = b"",
    ) -> None:
        """Send a request, behind those that were sent before."""
        self._methods.append(method)
        lines = {b"Host": b"localhost", **(headers or {})}
        if body:
            lines[b"Content-Length"] = b"%d" % len(body)
        head = [b" ".join((method, path, version)), *(b": ".join(line) for line in lines.items())]
        self.transport.deliver(b"\r\n".join([*head, b"", body]))

    def disconnect(self, reason: Exception | None = None) -> None:
        """Leave; with `ConnectionDone`, unless another reason is given."""
        self.transport.lose(Failure(ConnectionDone() if reason is None else reason))

    def pause(self) -> None:
        """Read no more: the server's buffer is full."""
        self._producer.pauseProducing()

    def resume(self) -> None:
        """Read on: the server's buffer is empty."""
        self._producer.resumeProducing()

    @property
    def _producer(self) -> Any:
        # The channel itself, which is always registered and passes it on.
        return self.transport.producer

    @property
    def requests(self) -> list[Request]:
        """The requests that the server has in hand."""
        return list(self._protocol.requests)

    @property
    def received(self) -> bytes:
        """All bytes that came."""
        value: bytes = self.transport.value()
        return value

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over, whoever closed it."""
        return not self.transport.connected

    @property
    def is_aborted(self) -> bool:
        """Whether the server threw the connection away."""
        return self.transport.aborted

    @property
    def responses(self) -> list[Response]:
        """What was answered, in the order of the requests; of the last, perhaps a part."""
        return list(parsed(self.received, self._methods, self.transport.disconnecting))

    @property
    def response(self) -> Response:
        """The only answer."""
        responses = self.responses
        assert len(responses) == 1, responses
        return responses[0]


class H2Connection:
    """A connection over HTTP/2 between a Site and a client, which may be any protocol."""

    def __init__(self, site: Site, clock: Clock, client: Protocol) -> None:
        from twisted.web._http2 import H2Connection as Channel

        channel: Any = Channel(reactor=cast(Any, clock))
        channel.requestFactory, channel.site, channel.factory = site.requestFactory, site, site
        channel.callLater, channel.timeOut = clock.callLater, None
        self.clock, self.channel = clock, channel
        self.server, self._client_end = Transport(clock), Transport(clock)
        self.server.connect(channel)
        self._client_end.connect(client)
        self.pump()

    def pump(self) -> None:
        """Let everything that either side has sent arrive, until there is no more."""
        self.clock.advance(0)
        while self.server.value() or self._client_end.value():
            for source, target in [
                (self._client_end, self.server),
                (self.server, self._client_end),
            ]:
                data = source.value()
                source.clear()
                if data:
                    target.deliver(data)
            self.clock.advance(0)

    def disconnect(self) -> None:
        """The client leaves, with all its streams."""
        self.server.lose(Failure(ConnectionDone()))


def log_events(test: SynchronousTestCase) -> list[LogEvent]:
    """The events that are logged from now until the end of the test."""
    events: list[LogEvent] = []
    observer = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(observer)
    test.addCleanup(globalLogPublisher.removeObserver, observer)
    return events


def of_cancelweb(events: list[LogEvent], level: LogLevel | None = None) -> list[LogEvent]:
    """Those events that cancelweb logged; of one level, if it is given."""
    return [
        event
        for event in events
        if str(event.get("log_namespace")).startswith("cancelweb")
        and (level is None or event["log_level"] is level)
    ]


@contextmanager
def no_cycles(test: SynchronousTestCase) -> Iterator[None]:
    """Insist that what happens inside leaves nothing of ours to the cycle collector.

    Nor a Request, nor anything else of the test's own.
    """
    while gc.collect():
        # What was garbage may have held more of it, of tests before.
        pass
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        ours = [each for each in gc.garbage if _is_ours(each)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    test.assertEqual(ours, [])


def _is_ours(thing: object) -> bool:
    module = getattr(thing, "__module__", None) or type(thing).__module__
    return isinstance(thing, Request) or str(module).split(".")[0] in ("cancelweb", "tests")

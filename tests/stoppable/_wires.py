"""A reverse proxy in memory, with Twisted's own agent, and an upstream that the test plays.

What belongs here: what tests of more than one module need. What does not: tests, and real sockets,
which are in `_proxies`.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogEvent, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from cancelweb import CancellingResource, Outcome
from cancelweb._typed import AnyResource
from cancelweb.proxy import ReverseProxyResource
from cancelweb.testing import Client, Exchange

from .._logs import log_events, of_cancelweb

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

ADDRESS = IPv4Address("TCP", "192.0.2.1", 8000)


class Line(StringTransport):
    """The agent's end of a connection to the upstream.

    Attributes:
        protocol: what the agent has built for it.
    """

    protocol: Any

    def loseConnection(self) -> None:
        """Close, as in Twisted."""
        self.disconnecting = True

    @property
    def is_closed(self) -> bool:
        """Whether the agent has closed or aborted it."""
        return bool(self.disconnecting or self.disconnected)

    def say(self, data: bytes, size: int = 2**16) -> int:
        """Say something, in pieces of at most this size, until the agent hangs up.

        Returns:
            How many bytes the agent has taken.
        """
        for begin in range(0, len(data), size):
            if self.is_closed:
                return begin
            self.protocol.dataReceived(data[begin : begin + size])
        return len(data)

    def close(self) -> None:
        """Hang up."""
        reason = ConnectionLost() if self.is_closed else ConnectionDone()
        self.protocol.connectionLost(Failure(reason))


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class Wire:
    """The endpoints of an agent, all of which lead to the test.

    Attributes:
        lines: all connections so far.
        urls: where the agent wanted to connect to.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.urls: list[bytes] = []

    def endpointForURI(self, uri: Any) -> "Wire":
        """See `IAgentEndpointFactory`."""
        self.urls.append(uri.toBytes())
        return self

    def connect(self, factory: Any) -> Deferred[Any]:
        """See `IStreamClientEndpoint`."""
        line = Line(peerAddress=ADDRESS)
        line.protocol = factory.buildProtocol(ADDRESS)
        line.protocol.makeConnection(line)
        self.lines.append(line)
        return succeed(line.protocol)

    @property
    def line(self) -> Line:
        """The newest connection."""
        return self.lines[-1]

    @property
    def asked(self) -> list[bytes]:
        """The lines of the request on the newest connection, without its body."""
        value: bytes = self.line.value()
        return value.partition(b"\r\n\r\n")[0].split(b"\r\n")


class WireTestCase(SynchronousTestCase):
    """A test of a proxy in memory.

    Attributes:
        wire: the upstream.
        outcomes: what observers were told.
        events: what was logged.
    """

    def setUp(self) -> None:
        self.wire = Wire()
        self.clock = MemoryReactorClock()
        self.pool = HTTPConnectionPool(self.clock, persistent=False)
        self.outcomes: list[Outcome] = []
        self.events: list[LogEvent] = log_events(self)

    def proxy(self, host: str = "up.example", port: int = 80, **options: Any) -> Any:
        """A proxy in front of the wire."""
        options.setdefault("path", b"")
        agent = Agent.usingEndpointFactory(self.clock, self.wire, pool=self.pool)
        return ReverseProxyResource(host, port, reactor=self.clock, agent=agent, **options)

    def client(self, root: AnyResource | None = None) -> Client:
        """A client of a proxy, whose outcomes are noted."""
        wrapped = CancellingResource(root or self.proxy(), observers=self.outcomes.append)
        return Client(wrapped, self.clock, watch=False)

    def ask(
        self,
        target: bytes = b"/",
        headers: dict[bytes, bytes] | None = None,
        method: bytes = b"GET",
        root: AnyResource | None = None,
    ) -> Exchange:
        """Ask a proxy."""
        return self.client(root).request(method, target, headers)

    def answer(self, said: bytes, **asked: Any) -> Any:
        """What the client gets if the upstream says this and hangs up; None if nothing."""
        exchange = self.ask(**asked)
        self.wire.line.say(said)
        self.wire.line.close()
        self.clock.pump([0] * 10)
        return exchange.response

    def asked_with(self, *args: Any, **kw: Any) -> dict[bytes, bytes]:
        """The headers that the upstream gets of a request, with their names in lower case."""
        exchange = self.ask(*args, **kw)
        lines = [line.partition(b": ") for line in self.wire.asked[1:]]
        exchange.disconnect()
        return {name.lower(): value for name, _, value in lines}

    def warnings_of(self, do: Callable[[], object]) -> list[LogEvent]:
        """What cancelweb warns of meanwhile; nothing is logged as an error."""
        del self.events[:]
        do()
        errors = [each for each in self.events if each["log_level"] >= LogLevel.error]
        self.assertEqual(errors, [])
        return of_cancelweb(self.events, LogLevel.warn)

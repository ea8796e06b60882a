"""The public client in memory and real sockets agree: the same scenarios, run both ways.

What belongs here: scenarios, each a story of what a handler sees and what its client gets. They
are told in bytes, so that nothing but the connection differs; what came is read by a parser that
is not the kit's.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from cancelweb import Outcome, cancel_on_disconnect
from cancelweb.testing import Client

from ._responses import Response, parsed
from ._scopes import Leaf
from ._servers import LOOPBACK

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

T = TypeVar("T")

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
MEGABYTE = b"x" * 2**20


class Notes:
    """What happened on the server, in its order, and who waits for how much of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def add(self, line: str) -> None:
        """Note something."""
        self.lines.append(line)
        for count, waiting in list(self._waiting):
            if len(self.lines) >= count:
                self._waiting.remove((count, waiting))
                # Whoever notes something is not to be interrupted.
                reactor.callLater(0, waiting.callback, None)

    def until(self, count: int) -> Deferred[None]:
        """Wait until so many lines are there."""
        if len(self.lines) >= count:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append((count, waiting))
        return waiting.addTimeout(20, reactor)


class Way(ABC):
    """One connection, and a server with the notes of its handlers."""

    def __init__(self, handler: Callable[[Request, Notes], Any]) -> None:
        self.notes = Notes()
        self.root = Resource()
        self.root.putChild(b"", Leaf(lambda request: handler(request, self.notes)))
        self.root.putChild(b"fence", Leaf(lambda request: b"here"))

    @abstractmethod
    async def start(self) -> None:
        """Listen and connect."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send."""

    @abstractmethod
    def leave(self, is_reset: bool = False) -> None:
        """Close the connection, in order or with a reset."""

    @abstractmethod
    def read(self, is_reading: bool) -> None:
        """Stop reading, or go on."""

    @abstractmethod
    async def received(self, end: bytes) -> bytes:
        """Wait until what came ends like this."""

    @abstractmethod
    async def closed(self) -> bytes:
        """Wait until the connection is closed; all that came."""

    @abstractmethod
    async def fence(self) -> None:
        """Wait until the server has seen all that it can see."""


class InMemory(Way):
    """The public client."""

    async def start(self) -> None:
        self._clock = Clock()
        client = Client(self.root, self._clock)
        self._client, self._connection = client, client.connect()

    def send(self, data: bytes) -> None:
        self._connection.send(data)

    def leave(self, is_reset: bool = False) -> None:
        self._connection.disconnect(ConnectionLost() if is_reset else None)

    def read(self, is_reading: bool) -> None:
        (self._connection.resume if is_reading else self._connection.pause)()

    @property
    def _received(self) -> bytes:
        self._clock.advance(0)
        value: bytes = self._connection._transport.value()
        return value

    async def received(self, end: bytes) -> bytes:
        assert self._received.endswith(end), self._received[-200:]
        return self._received

    async def closed(self) -> bytes:
        received = self._received
        assert self._connection.is_closed
        return received

    async def fence(self) -> None:
        response = self._client.get(b"/fence").response
        assert response is not None and response.is_complete
        self._clock.advance(0)


class Peer(Protocol):
    """The client's end of a socket."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost: Deferred[None] = Deferred()
        self._end = b""
        self._waiting: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._look()

    def until(self, end: bytes) -> Deferred[None]:
        """Wait until what came ends like this."""
        self._end, self._waiting = end, Deferred()
        waiting = self._waiting
        self._look()
        return waiting.addTimeout(20, reactor)

    def _look(self) -> None:
        if self._waiting is not None and self.data.endswith(self._end):
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class OverSockets(Way):
    """Loopback, in the same process."""

    async def start(self) -> None:
        site = Site(self.root)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK)
        self._port: Any = await endpoint.listen(site)
        self._endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, self._port.getHost().port)
        self._peer = await self._connect()

    async def _connect(self) -> Any:
        return await self._endpoint.connect(Factory.forProtocol(Peer))

    async def stop(self) -> None:
        """Close both ends."""
        self._peer.transport.abortConnection()
        await self._peer.lost
        await self._port.stopListening()

    def send(self, data: bytes) -> None:
        self._peer.transport.write(data)

    def leave(self, is_reset: bool = False) -> None:
        if is_reset:
            self._peer.transport.abortConnection()
        else:
            self._peer.transport.loseConnection()

    def read(self, is_reading: bool) -> None:
        transport = self._peer.transport
        (transport.resumeProducing if is_reading else transport.pauseProducing)()

    async def received(self, end: bytes) -> bytes:
        await self._peer.until(end)
        return bytes(self._peer.data)

    async def closed(self) -> bytes:
        await self._peer.lost
        return bytes(self._peer.data)

    async def fence(self) -> None:
        # Twice: what was sent on another connection is read in the same turn as the first.
        for _ in range(2):
            other = await self._connect()
            other.transport.write(b"GET /fence HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await other.until(b"here")
            other.transport.loseConnection()
            await other.lost


Story = Callable[[Way], Awaitable[object]]


def heard(request: Request, notes: Notes) -> None:
    """Note how the request ends."""

    def lost(failure: Failure) -> None:
        notes.add(f"lost: {type(failure.value).__name__}")

    request.notifyFinish().addCallbacks(lambda _: notes.add("finished"), lost)


def waiting(request: Request, notes: Notes) -> int:
    """A plain handler that waits."""
    notes.add("asked")
    heard(request, notes)
    return NOT_DONE_YET


def decorated(request: Request, notes: Notes) -> Any:
    """A decorated one."""
    notes.add("asked")

    def tell(outcome: Outcome) -> None:
        notes.add(f"{outcome.ended.name}: {outcome.cause}")

    async def wait(request: Request) -> bytes:
        try:
            await Deferred()
        finally:
            notes.add("stopped")
        return b""

    return cancel_on_disconnect(observers=tell)(wait)(request)


def responses(data: bytes, count: int = 1) -> list[Response]:
    """The answers, read by the parser of the tests."""
    return list(parsed(data, [b"GET"] * count, True))


class AgreementTests(TestCase):
    """What the client in memory shows is what happens over a socket."""

    timeout = 60

    async def both(self, handler: Callable[[Request, Notes], Any], story: Story) -> Any:
        """Run a story both ways; both must come to the same. Returns what they came to."""
        results = []
        for kind in InMemory, OverSockets:
            way = kind(handler)
            await way.start()
            try:
                results.append((await story(way), list(way.notes.lines)))
            finally:
                if isinstance(way, OverSockets):
                    await way.stop()
        self.assertEqual(results[0], results[1])
        return results[0]

    async def test_client_closes(self) -> None:
        """A client that closes its connection is told as ConnectionDone."""

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.leave()
            await way.notes.until(2)

        _, notes = await self.both(waiting, story)
        self.assertEqual(notes, ["asked", "lost: ConnectionDone"])

    async def test_client_resets(self) -> None:
        """A client that resets its connection is told as ConnectionLost."""

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.leave(is_reset=True)
            await way.notes.until(2)

        _, notes = await self.both(waiting, story)
        self.assertEqual(notes, ["asked", "lost: ConnectionLost"])

    async def test_decorated(self) -> None:
        """A decorated handler is stopped, for the same cause."""

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.leave()
            await way.notes.until(3)

        _, notes = await self.both(decorated, story)
        self.assertEqual(notes[1], "stopped")
        self.assertIn("STOPPED: the client disconnected", notes[2])

    async def test_answers(self) -> None:
        """Bytes, chunks and errors come as they are, on one connection."""

        def handler(request: Request, notes: Notes) -> Any:
            notes.add("asked")
            heard(request, notes)
            if len(notes.lines) == 1:
                return b"whole"
            if len(notes.lines) < 4:
                request.write(b"in ")
                request.write(b"parts")
                request.finish()
                return NOT_DONE_YET
            request.setResponseCode(404)
            return b"gone"

        async def story(way: Way) -> list[Response]:
            way.send(GET)
            await way.received(b"whole")
            way.send(GET)
            await way.received(b"0\r\n\r\n")
            way.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            return responses(await way.closed(), 3)

        answers, _ = await self.both(handler, story)
        self.assertEqual([each.body for each in answers], [b"whole", b"in parts", b"gone"])

    async def test_posted_in_parts(self) -> None:
        """A body in parts is read whole."""

        def handler(request: Request, notes: Notes) -> bytes:
            content: Any = request.content
            body: bytes = content.read()
            notes.add(body.decode())
            return body

        async def story(way: Way) -> list[Response]:
            way.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
            await way.fence()
            way.notes.add("then")
            way.send(b"def")
            return responses(await way.received(b"abcdef"))

        _, notes = await self.both(handler, story)
        self.assertEqual(notes, ["then", "abcdef"])

    async def test_leaves_amid_a_post(self) -> None:
        """A client that leaves amid a body is not heard of."""

        async def story(way: Way) -> None:
            way.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
            await way.fence()
            way.leave()
            await way.fence()

        self.assertEqual(await self.both(waiting, story), (None, []))

    async def test_pipelined(self) -> None:
        """With two requests in flight only the first is handled; when it is lost, that is all."""

        async def story(way: Way) -> None:
            way.send(GET + GET)
            await way.fence()
            way.leave()
            await way.fence()

        _, notes = await self.both(waiting, story)
        self.assertEqual(notes, ["asked", "lost: ConnectionDone"])

    async def test_hidden_by_pipelined_bytes(self) -> None:
        """With more than 16 KiB behind a request its client's leaving is not seen."""

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.send(b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000)
            await way.fence()
            way.leave()
            await way.fence()

        self.assertEqual(await self.both(waiting, story), (None, ["asked"]))

    async def test_aborted_by_the_server(self) -> None:
        """What a handler wrote before it aborts has come, and the request is lost."""

        def handler(request: Request, notes: Notes) -> int:
            heard(request, notes)
            request.write(b"some")
            notes.add("asked")
            requests.append(request)
            return NOT_DONE_YET

        requests: list[Request] = []

        async def story(way: Way) -> bytes:
            way.send(GET)
            data = await way.received(b"some\r\n")
            transport: Any = requests.pop().transport
            transport.abortConnection()
            await way.closed()
            return data.partition(b"\r\n\r\n")[2]

        answer, notes = await self.both(handler, story)
        self.assertEqual(answer, b"4\r\nsome\r\n")
        self.assertEqual(notes, ["asked", "lost: ConnectionAborted"])

    async def test_producer_of_who_leaves(self) -> None:
        """A producer is stopped before the request is told."""
        _, notes = await self.both(producing, leaving_after_one)
        self.assertEqual(notes, ["asked", "stop", "lost: ConnectionDone"])

    async def test_producer_of_who_does_not_read(self) -> None:
        """A producer is paused while its client does not read, and resumed when it does."""
        sources: list[Any] = []

        def handler(request: Request, notes: Notes) -> int:
            sources.append(request)
            return producing(request, notes)

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.read(False)
            request = sources.pop()
            for _ in range(64):
                if "pause" not in way.notes.lines:
                    request.write(MEGABYTE)
            await way.notes.until(2)
            way.read(True)
            await way.received(MEGABYTE[-100:] + b"\r\n")
            await way.fence()

        _, notes = await self.both(handler, story)
        self.assertEqual(notes[:3], ["asked", "pause", "resume"])

    async def test_writing_to_who_has_left(self) -> None:
        """Writing to a client that has left is silent, finishing raises."""
        requests: list[Request] = []

        def handler(request: Request, notes: Notes) -> int:
            requests.append(request)
            return waiting(request, notes)

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.leave()
            await way.notes.until(2)
            request = requests.pop()
            request.write(b"hello?")
            way.notes.add(type(self.assertRaises(RuntimeError, request.finish)).__name__)

        _, notes = await self.both(handler, story)
        self.assertEqual(notes, ["asked", "lost: ConnectionDone", "RuntimeError"])

    async def test_refused(self) -> None:
        """What is no HTTP is answered with 400, and the connection is closed."""

        async def story(way: Way) -> bytes:
            way.send(b"nonsense\r\n\r\n")
            return await way.closed()

        answer, notes = await self.both(waiting, story)
        self.assertEqual((answer, notes), (b"HTTP/1.1 400 Bad Request\r\n\r\n", []))


class Source:
    """A push producer that notes what it is told."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def pauseProducing(self) -> None:
        self._notes.add("pause")

    def resumeProducing(self) -> None:
        self._notes.add("resume")

    def stopProducing(self) -> None:
        self._notes.add("stop")


def producing(request: Request, notes: Notes) -> int:
    """A handler with a producer."""
    notes.add("asked")
    heard(request, notes)
    request.registerProducer(Source(notes), True)
    return NOT_DONE_YET


async def leaving_after_one(way: Way) -> None:
    """Ask, and leave when the handler has been called."""
    way.send(GET)
    await way.notes.until(1)
    way.leave()
    await way.notes.until(3)

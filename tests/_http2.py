"""A client of HTTP/2 over real sockets: many streams on one connection, each of which can be reset.

What belongs here: the protocol itself, with attributes that tell what has come so far, and ways to
wait for more. What does not: connections in memory, for which there is `cancelweb.testing`.
"""

from collections.abc import Callable
from functools import singledispatchmethod

from attrs import Factory, define
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


@define(eq=False)
class Stream:
    """What has come on one stream so far.

    Attributes:
        headers: The response's headers, `:status` among them; empty until they came.
        body: The bytes of the body.
        ended: Whether the response is whole.
        reset: The error code with which the server reset the stream, or None.
    """

    stream_id: int
    headers: dict[bytes, bytes] = Factory(dict)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None
    _waiting: list[tuple[Callable[["Stream"], bool], Deferred["Stream"]]] = Factory(list)

    def until(self, wanted: Callable[["Stream"], bool]) -> "Deferred[Stream]":
        """Wait until something holds of this stream.

        Args:
            wanted: Asked now and after each thing that comes on the stream.

        Returns:
            A Deferred of the stream; it fails when the connection is lost before.
        """
        waiting: Deferred[Stream] = Deferred()
        self._waiting.append((wanted, waiting))
        self.look()
        return waiting

    def look(self) -> None:
        """Tell waits whose wish has come true."""
        for entry in list(self._waiting):
            wanted, waiting = entry
            if wanted(self):
                self._waiting.remove(entry)
                waiting.callback(self)

    def lose(self, reason: Failure) -> None:
        """Fail the waits that are left."""
        while self._waiting:
            self._waiting.pop()[1].errback(reason)


class HTTP2Client(Protocol):
    """A connection, and the streams that were opened on it.

    Attributes:
        streams: The streams by their number, also those that have ended.
    """

    def __init__(self, authority: str = "localhost") -> None:
        self.streams: dict[int, Stream] = {}
        self._authority = authority
        self._pings: list[Deferred[None]] = []
        self._lost: Deferred[None] = Deferred()
        self._h2 = H2Connection(H2Configuration(client_side=True))

    def connectionMade(self) -> None:
        """Send the preface of HTTP/2."""
        self._h2.initiate_connection()
        self._flush()

    def get(self, path: str, method: str = "GET", *, is_whole: bool = True) -> Stream:
        """Open a stream with a request that has no body, or whose body is still to come."""
        stream = Stream(self._h2.get_next_available_stream_id())
        self.streams[stream.stream_id] = stream
        self._h2.send_headers(
            stream.stream_id,
            [
                (":method", method),
                (":path", path),
                (":scheme", "https"),
                (":authority", self._authority),
            ],
            end_stream=is_whole,
        )
        self._flush()
        return stream

    def reset(self, stream: Stream) -> None:
        """Tell the server that the client does not wait for this stream any more."""
        self._h2.reset_stream(stream.stream_id, ErrorCodes.CANCEL)
        self._flush()

    def ping(self) -> Deferred[None]:
        """Wait until the server has read all that was sent to it before."""
        pong: Deferred[None] = Deferred()
        self._pings.append(pong)
        self._h2.ping(b"are you?")
        self._flush()
        return pong

    def close(self) -> Deferred[None]:
        """Say goodbye, close the connection with all its streams, and wait until it is closed."""
        assert self.transport is not None
        self._h2.close_connection()
        self._flush()
        self.transport.loseConnection()
        return self._lost

    def dataReceived(self, data: bytes) -> None:
        """Handle the events in the bytes that come, and answer what the protocol wants answered."""
        for event in self._h2.receive_data(data):
            self._handle(event)
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail all waits for something of this connection."""
        for stream in self.streams.values():
            stream.lose(reason)
        for pong in self._pings:
            pong.errback(reason)
        self._lost.callback(None)

    @singledispatchmethod
    def _handle(self, event: Event) -> None:
        """Ignore an event for which a test has no use."""

    @_handle.register
    def _(self, event: ResponseReceived) -> None:
        stream = self.streams[event.stream_id]
        stream.headers = dict(event.headers)
        stream.look()

    @_handle.register
    def _(self, event: DataReceived) -> None:
        stream = self.streams[event.stream_id]
        stream.body += event.data
        self._h2.acknowledge_received_data(event.flow_controlled_length, stream.stream_id)
        stream.look()

    @_handle.register
    def _(self, event: StreamEnded) -> None:
        stream = self.streams[event.stream_id]
        stream.ended = True
        stream.look()

    @_handle.register
    def _(self, event: StreamReset) -> None:
        stream = self.streams[event.stream_id]
        stream.reset = event.error_code
        stream.look()

    @_handle.register
    def _(self, event: PingAckReceived) -> None:
        self._pings.pop(0).callback(None)

    def _flush(self) -> None:
        assert self.transport is not None
        self.transport.write(self._h2.data_to_send())

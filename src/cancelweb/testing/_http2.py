"""Connections over HTTP/2 in memory; imported only if the extra ``http2`` is installed.

The client's side is h2's; the server's side is Twisted's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field
from h2.config import H2Configuration
from h2.connection import H2Connection as ClientSide
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from hyperframe.frame import GoAwayFrame
from twisted.python.failure import Failure

from .._checks import check_flag, shown
from .._twisted.checks import check
from .._twisted.http2 import h2_connection_class
from ._exchange import Headers, check_bytes, done
from ._served import Served
from ._stream import Stream
from ._transport import Transport

if not check("HTTP/2 in memory"):
    raise ImportError("this Twisted lacks names that HTTP/2 in memory needs: see the warnings")
ServerSide = h2_connection_class()

if TYPE_CHECKING:
    from ._client import Client


@define(eq=False)
class HTTP2Connection:
    """A connection over HTTP/2; made by `Client.connect_http2`.

    Attributes:
        client: the client that opened it.
    """

    client: Client
    _streams: dict[int, Stream] = field(factory=dict, init=False)
    served: dict[int, Served] = field(factory=dict, init=False)
    _transport: Transport = field(init=False)
    _h2: Any = field(init=False)
    _received: bytearray = field(factory=bytearray, init=False)
    _sending: list[Stream] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        site, clock = self.client.site, self.client.clock
        server: Any = ServerSide(reactor=clock)
        server.requestFactory = self.client.watched(site.requestFactory, self._note)
        server.site = server.factory = site
        server.callLater, server.timeOut = clock.callLater, site.timeOut
        self._transport = Transport(clock, self.receive)
        self._transport.connect(server)
        self._transport.registerProducer(server, True)
        self._h2 = ClientSide(H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self.flush()

    def _note(self, channel: Any, served: Served) -> None:
        self.served[channel.streamID] = served

    def get(self, path: bytes = b"/", headers: Headers | None = None) -> Stream:
        """Open a stream with a GET."""
        return self.request(b"GET", path, headers)

    def post(self, path: bytes, body: bytes, headers: Headers | None = None) -> Stream:
        """Open a stream with a POST."""
        return self.request(b"POST", path, headers, body)

    def request(
        self, method: bytes, path: bytes = b"/", headers: Headers | None = None, body: bytes = b""
    ) -> Stream:
        """Open a stream with any request. Its body is sent as fast as the server takes it.

        Args:
            method: for example ``b"PUT"``.
            path: with the query, if there is one.
            headers: pass a ``Content-Length`` greater than the body to send the rest of it later,
                with `Stream.send`.
            body: the body, or its beginning.

        Raises:
            TypeError: the method, the path, a header or the body is not bytes.
            ValueError: ``Content-Length`` is not a number.
        """
        given = check_bytes(method=method, path=path, body=body, headers=headers)
        if not path:
            raise ValueError("path must not be empty over HTTP/2. Pass b'/'.")
        number = self._h2.get_next_available_stream_id()
        all_headers = {name.lower(): value for name, value in given.items()}
        left = max(len(body), int(all_headers.get(b"content-length", b"0")))
        stream = Stream(method, path, self.client, self, number, left)
        self._streams[number] = stream
        self._sending.append(stream)
        head = {
            b":method": method,
            b":path": path,
            b":scheme": b"http",
            b":authority": b"localhost",
        }
        self._h2.send_headers(number, [*{**head, **all_headers}.items()], not left)
        stream.send(body)
        return stream

    @contextmanager
    def in_one_read(self) -> Iterator[None]:
        """Make all that is sent in this block arrive in one read of the server, at its end.

        See `Connection.in_one_read`.
        """
        with self._transport.in_one_read():
            yield
        self.receive()

    def go_away(self) -> None:
        """Announce the end of the connection with GOAWAY (RFC 9113, section 6.8), and stay."""
        self._transport.deliver(self._h2.data_to_send() + GoAwayFrame(0).serialize())
        self.flush()

    def pause(self, *, full: bool = False) -> None:
        """Stop reading. The server is told to stop writing when its buffer is full.

        Args:
            full: whether the buffer is full already, so that the server is told at once.
        """
        check_flag("full", full)
        self._transport.read(False, full)

    def resume(self) -> None:
        """Read again."""
        self._transport.read(True)
        self.receive()

    def disconnect(self, reason: Exception | None = None) -> None:
        """Close the connection, with all its streams."""
        self._transport.lose(Failure(done(reason)))

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over, whichever side closed it."""
        return not self._transport.connected

    @property
    def is_aborted(self) -> bool:
        """Whether the server aborted the connection."""
        return self._transport.aborted

    @property
    def received(self) -> bytes:
        """All bytes that the client has read, which are the frames that the server sent."""
        self.receive()
        return bytes(self._received)

    def reset(self, number: int) -> None:
        """Tell the server that the client no longer wants this stream."""
        if not isinstance(number, int) or number not in self._streams:
            raise ValueError(f"number must be that of an open stream, not {shown(number)}")
        self._send_no_more(number)
        self._h2.reset_stream(number, ErrorCodes.CANCEL)
        self.flush()

    def flush(self) -> None:
        """Send what the server takes now, and read the answers."""
        self._sending = [each for each in self._sending if self._send_body(each)]
        self._transport.deliver(self._h2.data_to_send())
        self.receive()

    def _send_body(self, stream: Stream) -> bool:
        """Send as much of a body as the server takes now; returns whether there is more to send."""
        while stream.unsent:
            window = self._h2.local_flow_control_window(stream.number)
            size = min(window, self._h2.max_outbound_frame_size)
            if not size:
                # The rest is sent when the server has widened the window.
                break
            part, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            stream.left -= len(part)
            self._h2.send_data(stream.number, part, end_stream=not stream.left)
        return stream.left > 0

    def _send_no_more(self, number: int) -> None:
        """Send no more of the body of a stream that was reset."""
        self._sending = [each for each in self._sending if each.number != number]

    def receive(self) -> None:
        """Read what has arrived, and send the answers that the protocol requires."""
        data = self._transport.value()
        self._transport.clear()
        self._received += data
        if data:
            for event in self._h2.receive_data(data):
                self._handle(event)
            self.flush()

    def _handle(self, event: object) -> None:
        match event:
            case ResponseReceived():
                self._streams[event.stream_id].take_head(event.headers)
            case DataReceived():
                self._streams[event.stream_id].take_body(event.data)
                size = event.flow_controlled_length
                self._h2.acknowledge_received_data(size, event.stream_id)
            case StreamEnded():
                self._streams[event.stream_id].end()
            case StreamReset():
                self._send_no_more(event.stream_id)
                self._streams[event.stream_id].take_reset(event.error_code)
            case ConnectionTerminated():
                self._sending.clear()
                self._transport.loseConnection()

"""Connections over HTTP/2 in memory; imported only where the extra ``http2`` is installed.

The client's half is h2's; the server's, Twisted's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field
from h2.config import H2Configuration
from h2.connection import H2Connection as ClientSide
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from twisted.python.failure import Failure

from .._twisted.access import h2_connection_class
from .._twisted.checks import check
from ._exchange import Exchange, check_bytes, done
from ._responses import Response
from ._served import Served, recording
from ._transport import Transport

if not check("HTTP/2 in memory"):
    raise ImportError("this Twisted has not all that HTTP/2 in memory needs: see the warnings")
ServerSide = h2_connection_class()

if TYPE_CHECKING:
    from ._client import Client, Headers


@define(eq=False)
class HTTP2Connection:
    """A connection over HTTP/2; made by `Client.connect_http2`."""

    _client: Client
    _streams: dict[int, Stream] = field(factory=dict, init=False)
    _served: dict[int, Served] = field(factory=dict, init=False)
    _transport: Transport = field(init=False)
    _h2: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        site, clock = self._client.site, self._client.clock
        server: Any = ServerSide(reactor=clock)
        server.requestFactory = recording(site.requestFactory, clock, self._note)
        server.site = server.factory = site
        server.callLater, server.timeOut = clock.callLater, site.timeOut
        self._transport = Transport(clock, self.receive)
        self._transport.connect(server)
        self._transport.registerProducer(server, True)
        self._h2 = ClientSide(H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._send()

    def _note(self, channel: Any, served: Served) -> None:
        self._served[channel.streamID] = served
        self._client.leaks.served.append(served)

    def get(self, path: bytes = b"/", headers: Headers | None = None) -> Stream:
        """Open a stream with a GET."""
        return self.request(b"GET", path, headers)

    def post(self, path: bytes, body: bytes, headers: Headers | None = None) -> Stream:
        """Open a stream with a POST."""
        return self.request(b"POST", path, headers, body)

    def request(
        self, method: bytes, path: bytes, headers: Headers | None = None, body: bytes = b""
    ) -> Stream:
        """Open a stream with any request; its body is sent as fast as the server takes it.

        Raises:
            TypeError: the method, the path, a header or the body is not bytes.
        """
        check_bytes(method=method, path=path, body=body, headers=headers or {})
        number = self._h2.get_next_available_stream_id()
        stream = Stream(method, path, self._client, self, number)
        self._streams[number] = stream
        head = {
            b":method": method,
            b":path": path,
            b":scheme": b"http",
            b":authority": b"localhost",
        }
        self._h2.send_headers(number, [*head.items(), *(headers or {}).items()], not body)
        stream.unsent = body
        self._send()
        return stream

    def disconnect(self, reason: Exception | None = None) -> None:
        """Close the connection, with all its streams."""
        self._transport.lose(Failure(done(reason)))

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over, whoever closed it."""
        return not self._transport.connected

    def reset(self, number: int) -> None:
        """Tell the server that nobody waits for this stream."""
        self._h2.reset_stream(number, ErrorCodes.CANCEL)
        self._send()

    def _send(self) -> None:
        for stream in self._streams.values():
            self._send_body(stream)
        self._transport.deliver(self._h2.data_to_send())
        self.receive()

    def _send_body(self, stream: Stream) -> None:
        """Send of its body what the server takes now."""
        while stream.unsent and not stream.was_reset:
            window = self._h2.local_flow_control_window(stream.number)
            size = min(window, self._h2.max_outbound_frame_size)
            if not size:
                # More is sent when the server has widened the window.
                break
            part, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            self._h2.send_data(stream.number, part, end_stream=not stream.unsent)

    def receive(self) -> None:
        """Take what has come, and answer what the protocol wants answered."""
        data = self._transport.value()
        self._transport.clear()
        if data:
            for event in self._h2.receive_data(data):
                self._handle(event)
            self._send()

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
                self._streams[event.stream_id].was_reset = True
            case ConnectionTerminated():
                for stream in self._streams.values():
                    stream.unsent = b""
                self._transport.loseConnection()


@define(eq=False)
class Stream(Exchange):
    """A request on a stream of HTTP/2; made by `HTTP2Connection.get` and its like.

    Attributes:
        was_reset: whether the server has reset the stream, or the client.
        unsent: what is left of the body of the request.
    """

    connection: HTTP2Connection
    number: int
    was_reset: bool = False
    unsent: bytes = b""
    _response: Response | None = None

    def reset(self) -> None:
        """Leave this stream; the connection and its other streams go on. Again, do nothing."""
        if not self.is_over:
            self.was_reset = True
            self.connection.reset(self.number)

    def disconnect(self, reason: Exception | None = None) -> None:
        """See `Exchange.disconnect`."""
        self.connection.disconnect(reason)

    @property
    def response(self) -> Response | None:
        """See `Exchange.response`."""
        self.connection.receive()
        return self._response

    @property
    def is_over(self) -> bool:
        """See `Exchange.is_over`."""
        response = self.response
        is_complete = response is not None and response.is_complete
        return is_complete or self.was_reset or self.connection.is_closed

    @property
    def served(self) -> Served | None:
        """See `Exchange.served`."""
        return self.connection._served.get(self.number)

    def take_head(self, headers: Any) -> None:
        """The answer's head has come."""
        self._response = Response(int(dict(headers)[b":status"]))
        for name, value in headers:
            if not name.startswith(b":"):
                self._response.headers.addRawHeader(name, value)

    def take_body(self, data: bytes) -> None:
        """A part of its body has come."""
        assert self._response is not None, "h2 sees to the order"
        self._response.body += data

    def end(self) -> None:
        """The answer is complete."""
        assert self._response is not None, "h2 sees to the order"
        self._response.is_complete = True

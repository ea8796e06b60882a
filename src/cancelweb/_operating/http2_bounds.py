"""Bounds on what the client of one HTTP/2 connection can make a server keep.

Twisted passes all that it reads to the library h2, which keeps what it cannot handle any more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import ReferenceType, ref

from attrs import define
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated
from twisted.protocols.policies import ProtocolWrapper

from .._twisted.http2 import cap_header_table, h2_of, http2_channel_of, is_closed, negotiates_http2

LINGER = 1.0
"""Seconds that a client has to take what it was sent before its error."""

MOST_UNFINISHED = 2**18
"""Bytes in which h2 must find a whole frame, or all frames of a header block. It accepts no more
than 64 KiB of headers, but would keep 1 MiB of them, and 16 MiB of a frame that is too long."""

LARGEST_TABLE = 65536
"""Bytes of header fields that the server remembers for its answers. Chrome and Firefox ask for as
many; a client could ask for 4 GiB, which also makes each answer slower than the one before."""


def bound(protocol: Any) -> None:
    """Bound the connection of a protocol that is not connected yet, if a Site has built it."""
    if http2_channel_of(protocol) is not None:
        protocol.dataReceived = partial(_first_read, ref(protocol))


def _first_read(reference: ReferenceType[Any], data: bytes) -> None:
    # Only now is it known which protocol was negotiated.
    protocol: Any = reference()
    del protocol.dataReceived
    if negotiates_http2(protocol):
        protocol.dataReceived(b"")  # Twisted makes the HTTP/2 channel at the first read.
        channel = http2_channel_of(protocol)
        protocol.dataReceived = Bounds(channel, watch(h2_of(channel))).data_received
    protocol.dataReceived(data)


class Watch:
    """Stands in for ``receive_data`` of h2, and notes how the connection ended.

    Attributes:
        has_failed: whether the client has broken the protocol.
        has_parted: whether the client has said goodbye with GOAWAY.
    """

    def __init__(self, connection: Any) -> None:
        # h2's connection refers to this object, so the opposite would make a cycle.
        self._connection = ref(connection)
        self._receive: Callable[[Any, bytes], list[object]] = type(connection).receive_data
        self._unfinished = 0
        self.has_failed = self.has_parted = False

    def __call__(self, data: bytes) -> list[object]:
        """See h2."""
        connection: Any = self._connection()
        try:
            events = self._receive(connection, data)
        except BaseException:
            self.has_failed = True
            raise
        self.has_parted = any(isinstance(each, ConnectionTerminated) for each in events)
        cap_header_table(connection, LARGEST_TABLE)
        self._unfinished = 0 if events else self._unfinished + len(data)
        if self._unfinished > MOST_UNFINISHED:
            connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
        return events


def watch(connection: Any) -> Watch:
    """Watch what a connection of h2 receives."""
    connection.receive_data = watching = Watch(connection)
    return watching


@define(eq=False)
class Bounds:
    """The reads of one HTTP/2 connection."""

    _channel: Any
    _watch: Watch
    _is_over: bool = False

    def data_received(self, data: bytes) -> None:
        """Pass data on until the connection is over; see `IProtocol`."""
        if self._is_over:
            # h2 would keep this data for as long as the client stays.
            return
        self._channel.dataReceived(data)
        self._is_over = self._watch.has_failed or is_closed(h2_of(self._channel))
        if self._is_over and not self._watch.has_parted:
            self._close()

    def _close(self) -> None:
        """Close the connection of a client that has broken the protocol, or was cut off.

        Twisted asks for that, too. But TLS would wait for the client, which may stay.
        """
        transport = self._channel.transport
        while isinstance(transport, ProtocolWrapper):
            transport = transport.transport
        transport.loseConnection()
        self._channel.callLater(LINGER, transport.abortConnection)

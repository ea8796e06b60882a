"""Bound the head of an upstream's response, and drop the headers that are for this hop alone.

Twisted's client buffers a head without end, and does not show which headers are named in
``Connection``. So a protocol of this module gets what the upstream says before Twisted's parser
does. It counts informational responses (1xx) as part of the head that they precede. Twisted bounds
the lines between the chunks of a body.
"""

from __future__ import annotations

import re
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from .._twisted.access import is_awaiting_head, with_endpoints
from .._twisted.checks import check
from .response_head import NotHTTP

check("heads of responses")

LIMIT = 2**14
"""Bytes of a head, as many as Twisted takes from a client (``HTTPChannel.totalHeadersSize``)."""

_END = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n[\t ]+")
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-5])([0-9]{2})(?: [^\n]*)?\r?\n(?![\t ])")
_BARE_CR = re.compile(rb"\r(?!\n)")

_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})
"""Twisted's parser needs these, even if they are named in ``Connection``."""


def bounded(agent: Any) -> Any:
    """The same agent with bounds, if it is Twisted's ``Agent``; any other agent as it is."""
    return with_endpoints(agent, _Endpoints)


@implementer(IAgentEndpointFactory)
@define(eq=False)
class _Endpoints:
    """Makes the endpoints of an agent, each with bounds."""

    _original: Any

    def endpointForURI(self, uri: Any) -> _Endpoint:  # noqa: N802 - Twisted's name
        return _Endpoint(self._original.endpointForURI(uri))


@implementer(IStreamClientEndpoint)
@define(eq=False)
class _Endpoint:
    """Connects as another endpoint does, with a `_Connection` before the protocol."""

    _original: Any

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        connecting: Deferred[Any] = self._original.connect(_Factory(factory))
        return connecting.addCallback(lambda connection: connection.parser)


class _Factory(proxyForInterface(IProtocolFactory)):  # type: ignore[misc]
    """Builds what another factory builds, behind a `_Connection`."""

    def buildProtocol(self, addr: Any) -> _Connection:  # noqa: N802 - Twisted's name
        return _Connection(self.original.buildProtocol(addr))


@define(eq=False)
class _Connection(Protocol):
    """Passes on what an upstream says, but a head only when it is whole.

    Attributes:
        parser: Twisted's protocol, which uses the connection's transport directly.
    """

    parser: Any
    _head: bytes = field(default=b"", init=False)
    _informed: int = field(default=0, init=False)  # bytes of informational responses before it
    _is_over: bool = field(default=False, init=False)

    def connectionMade(self) -> None:
        self.parser.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        while data and not self._is_over and is_awaiting_head(self.parser):
            try:
                data = self._collect(data)
            except NotHTTP as error:
                self._give_up(error)
        if data and not self._is_over:
            self.parser.dataReceived(data)

    def _collect(self, data: bytes) -> bytes:
        """Take data for a head; returns what follows the head, if that is whole."""
        known = max(len(self._head) - 2, 0)
        self._head += data
        end = _END.search(self._head, known)
        size = end.end() if end else len(self._head)
        if self._informed + size > LIMIT:
            raise NotHTTP(f"its headers have more than {LIMIT} bytes")
        if end is None:
            return b""
        head, rest, self._head = self._head[:size], self._head[size:], b""
        is_final = not _is_informational(head)
        self._informed = 0 if is_final else self._informed + size
        self.parser.dataReceived(_without_named(head))
        # Its end may have begun the next request at once, and what follows does not answer that.
        if rest and is_final and is_awaiting_head(self.parser):
            raise NotHTTP(f"a response without a body is followed by {rest[:40]!r}")
        return rest

    def _give_up(self, error: NotHTTP) -> None:
        self._is_over, self._head = True, b""
        # Without a byte received, Twisted would try once more, on another connection.
        self.parser.dataReceived(b"")
        self.parser.connectionLost(Failure(error))
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._is_over:
            if self._head:
                self.parser.dataReceived(self._head)
            self.parser.connectionLost(reason)


def _is_informational(head: bytes) -> bool:
    """Whether this is the head of a response before the final one.

    Raises:
        NotHTTP: it is not the head of a response, or an upgrade, which was not asked for.
    """
    status = _STATUS.match(head)
    if status is None or status[1] + status[2] == b"101":
        raise NotHTTP(f"it begins with {head[:40]!r}")
    if _BARE_CR.search(head):
        raise NotHTTP("a carriage return is not the end of a line")
    return status[1] == b"1"


def _without_named(head: bytes) -> bytes:
    """A head without the headers that it names in ``Connection`` (RFC 9110, section 7.6.1)."""
    parted = [(_name_of(line), line) for line in _FOLD.sub(b" ", head).split(b"\n")]
    values = [line.partition(b":")[2] for name, line in parted if name == b"connection"]
    named = {each.strip().lower() for value in values for each in value.split(b",")} - _FRAMING
    return b"\n".join(line for name, line in parted if name not in named or not name)


def _name_of(line: bytes) -> bytes:
    return line.partition(b":")[0].strip().lower()

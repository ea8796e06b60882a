"""A reverse proxy that drops its upstream request when the client leaves.

This module relays HTTP; `upstream` drops the exchange.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    TCPTimedOutError,
)
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.task import Cooperator
from twisted.web.client import (
    Agent,
    FileBodyProducer,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.http import (
    BAD_GATEWAY,
    GATEWAY_TIMEOUT,
    NO_CONTENT,
    NOT_MODIFIED,
    RESPONSES,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse
from twisted.web.pages import errorPage
from twisted.web.resource import Resource
from twisted.web.server import Request

from ._http.decorator import cancel_on_disconnect
from ._log import log
from ._scopes.checks import NOT_GIVEN, NotGiven, check_header
from ._scopes.finding import current_scope
from ._stoppable.reactors import reactor_for
from ._typed import AnyAgent
from .upstream import Body, CancellingAgent, stream_body

__all__ = ["ReverseProxyResource"]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers for the next hop alone: RFC 9110, section 7.6.1."""

_OURS = frozenset({b"host", b"content-length", b"expect"})
"""Headers that this hop sends anew, or has dealt with."""

_TIMED_OUT = (ConnectTimeoutError, TCPTimedOutError)
_UPSTREAM_FAILED = (
    *_TIMED_OUT,
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    RequestTransmissionFailed,
    ResponseFailed,
)


class ReverseProxyResource(Resource):
    """Relays everything below it to another server. Like Twisted's, with these differences.

    When the client leaves, the connection to the upstream is closed, in every phase and for every
    method. (Twisted's proxy leaves it open: ticket 4901.) A slow client slows the upstream down.
    The response is streamed. The request's body is streamed, too, but only once Twisted has
    received all of it.

    An upstream that cannot be reached, or that fails before its headers have arrived, gives a 502.
    If it does not answer the attempt to connect, it gives a 504. If it fails later, the response is
    broken off. For time limits, use the options of an entry point around this resource. The time
    that is left goes to the upstream, as with a `~cancelweb.upstream.CancellingAgent`, in place of
    the header that the client sent.

    Requests are relayed over HTTP/1.1, with all headers except ``Host`` and those for one hop. Like
    Twisted's proxy, this one adds no ``X-Forwarded-For``.

    Args:
        host: the name or address of the upstream.
        port: its port.
        path: the prefix for the paths of requests, quoted, without a slash at the end.
        reactor: the reactor that connects; by default the Site's, or else the running one.
        agent: the ``IAgent`` to use, for example one with a pool of connections; by default one
            that opens a connection for each request.
        timeout_header: the name of the header for the time that is left; by default that of the
            entry points around this resource. None to relay all headers unchanged.

    Raises:
        TypeError, ValueError: ``timeout_header`` is not the name of a header.
    """

    def __init__(
        self,
        host: str,
        port: int,
        path: bytes,
        reactor: IReactorTCP | None = None,
        agent: AnyAgent | None = None,
        *,
        timeout_header: str | NotGiven | None = NOT_GIVEN,
    ) -> None:
        super().__init__()
        if timeout_header is not None and timeout_header is not NOT_GIVEN:
            check_header("timeout_header", timeout_header)
        self.host, self.port, self.path = host, port, path
        self.reactor, self.agent, self.timeout_header = reactor, agent, timeout_header

    def getChild(self, path: bytes, request: Request) -> ReverseProxyResource:
        """This resource, one path segment further down."""
        below = self.path + b"/" + quote(path, safe="").encode("ascii")
        child = type(self)(self.host, self.port, below, self.reactor, self.agent)
        # Set as an attribute, because the __init__ of a subclass may not take it.
        child.timeout_header = self.timeout_header
        return child

    @cancel_on_disconnect
    async def render(self, request: Request) -> Body | bytes:
        """Relay the request, and answer with the upstream's response."""
        try:
            response = await self._send(request)
        except _UPSTREAM_FAILED as error:
            return self._refuse(request, error)
        _copy_head(response, request)
        return stream_body(response)

    def _send(self, request: Any) -> Deferred[IResponse]:
        reactor = reactor_for(self.reactor, IReactorTCP)
        agent = CancellingAgent(self.agent or Agent(reactor), self.timeout_header)
        headers = _relayed(request.requestHeaders)
        if (own := agent.header_in(current_scope())) is not None:
            headers.removeHeader(own)
        headers.setRawHeaders(b"host", [self._authority])
        uri = b"http://" + self._authority + self._target(request)
        return agent.request(request.method, uri, headers, _body_of(request, reactor))

    @property
    def _authority(self) -> bytes:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == 80 else f":{self.port}"
        return f"{host}{port}".encode("ascii")

    def _target(self, request: Any) -> bytes:
        query: bytes = urlsplit(request.uri).query
        return self.path + b"?" + query if query else self.path

    def _refuse(self, request: Any, error: Exception) -> bytes:
        log.warn("{upstream} gave no answer: {error!r}", upstream=self._authority, error=error)
        status = GATEWAY_TIMEOUT if isinstance(error, _TIMED_OUT) else BAD_GATEWAY
        brief = RESPONSES[status].decode("ascii")
        page: Any = errorPage(status, brief, "The upstream server gave no answer.")
        body: bytes = page.render(request)
        return body


def _relayed(headers: Headers) -> Headers:
    """The headers of a request, without those for one hop only."""
    named = b",".join(headers.getRawHeaders(b"connection", [])).lower().split(b",")
    dropped = _HOP_BY_HOP | _OURS | {name.strip() for name in named}
    relayed = Headers()
    for name, values in headers.getAllRawHeaders():
        if name.lower() not in dropped:
            relayed.setRawHeaders(name, values)
    return relayed


def _body_of(request: Any, reactor: Any) -> FileBodyProducer | None:
    content = request.content
    content.seek(0)
    body = FileBodyProducer(content, Cooperator(scheduler=partial(reactor.callLater, 0)))
    # A body that is empty and announced as such is relayed as an empty body.
    has_body = body.length or request.requestHeaders.hasHeader(b"content-length")
    return body if has_body else None


def _copy_head(response: Any, request: Any) -> None:
    request.setResponseCode(response.code, response.phrase)
    request.defaultContentType = None
    for name, values in response.headers.getAllRawHeaders():
        if name.lower() not in _HOP_BY_HOP:
            request.responseHeaders.setRawHeaders(name, values)
    # Twisted's client hides this header, except in the answer to a HEAD. It reports 0 for responses
    # that cannot have a body.
    if response.length is not UNKNOWN_LENGTH and not _is_bodiless(request, response):
        request.setHeader(b"content-length", b"%d" % response.length)


def _is_bodiless(request: Any, response: Any) -> bool:
    return request.method == b"HEAD" or response.code in (NO_CONTENT, NOT_MODIFIED)

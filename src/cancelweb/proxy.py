"""A reverse proxy that drops its upstream request when the client leaves.

This module relays HTTP; `upstream` drops the exchange. What is passed on of a request and of a
response is in `_proxying`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from copy import copy
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    TCPTimedOutError,
)
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.task import Cooperator, deferLater
from twisted.web.client import (
    Agent,
    FileBodyProducer,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.http import BAD_GATEWAY, GATEWAY_TIMEOUT, RESPONSES
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.pages import errorPage
from twisted.web.resource import Resource
from twisted.web.server import Request

from ._checks import check_flag
from ._http.decorator import cancel_on_disconnect
from ._log import log
from ._proxying.bounded import bounded
from ._proxying.forwarding import Trusted, peer_of, tell
from ._proxying.request_head import relayed
from ._proxying.response_head import NotHTTP, check_head, copy_head
from ._proxying.target import Refused, target_of
from ._proxying.upstream_address import Address, check_address
from ._scopes.checks import NOT_GIVEN, NotGiven, check_header
from ._scopes.finding import current_scope
from ._scopes.telling import Told
from ._stoppable.agent_checks import check_agent
from ._stoppable.reactors import check_reactor, reactor_for
from ._typed import AnyAgent
from .upstream import Body, CancellingAgent, stream_body

__all__ = ["ReverseProxyResource"]

_TIMED_OUT = (ConnectTimeoutError, TCPTimedOutError)
_UPSTREAM_FAILED = (
    *_TIMED_OUT,
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    NotHTTP,
    RequestTransmissionFailed,
    ResponseFailed,
)


class ReverseProxyResource(Resource):
    """Relays everything below it to another server. Like Twisted's, with these differences.

    When the client leaves, the connection to the upstream is closed, in every phase and for every
    method. (Twisted's proxy leaves it open: ticket 4901.) A slow client slows the upstream down.
    The response is streamed. The request's body is streamed, too, but only once Twisted has
    received all of it.

    The client gets the headers as soon as the upstream sends them. An upstream that cannot be
    reached, or that fails before that or in what arrives together with its headers, gives a 502. So
    does one that does not speak HTTP, or whose headers have more than 16 KiB. If it does not answer
    the attempt to connect, it gives a 504. If it fails later, the response is broken off. Each
    failure is one warning in the log. For time limits, use the options of an entry point around
    this resource. The time that is left goes to the upstream, as with a
    `~cancelweb.upstream.CancellingAgent`, in place of the header that the client sent.

    Requests are relayed over HTTP/1.1. A path that some server may take for one outside the prefix
    gives a 400, and the methods CONNECT and TRACE give a 501.

    All headers are relayed except ``Host``, those for one hop, and those with which a client could
    claim to be another: ``Forwarded``, ``X-Real-IP``, ``X-Forwarded`` and all that begin with
    ``X-Forwarded-``. An ``_`` in a name counts as a ``-``.

    Args:
        host: the name or address of the upstream.
        port: its port.
        path: the prefix for the paths of requests, quoted, without a slash at the end.
        reactor: the reactor that connects; by default the Site's, or else the running one.
        agent: the ``IAgent`` to use, for example one with a pool of connections; by default one
            that opens a connection for each request. Only Twisted's ``Agent`` bounds the headers of
            responses, and drops those that the upstream names in ``Connection``.
        timeout_header: the name of the header for the time that is left; by default that of the
            entry points around this resource. None to relay all headers unchanged.
        tls: whether the upstream speaks HTTPS. Its certificate must be valid for the host, unless
            the agent has another policy.
        forwarded: whether to tell the upstream the client's address, the scheme and the ``Host`` of
            the request, in ``X-Forwarded-For``, ``X-Forwarded-Proto``, ``X-Forwarded-Host``,
            ``X-Real-IP`` and ``Forwarded``.
        trusted: the proxies in front of this server: addresses, networks such as ``10.0.0.0/8``,
            and ``unix`` for UNIX sockets. What they say of their client in these headers is kept,
            and their own address is added.

    Raises:
        TypeError, ValueError: an argument is not what it must be.
        ImportError: ``tls`` needs pyOpenSSL, which is not installed.
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
        tls: bool = False,
        forwarded: bool = False,
        trusted: Iterable[str] = (),
    ) -> None:
        super().__init__()
        check_address(host, port, path)
        _check_parts(reactor, agent, timeout_header)
        check_flag("tls", tls)
        check_flag("forwarded", forwarded)
        if tls:
            _check_tls()
        self.host, self.port, self.path = host, port, path
        self.reactor, self.agent, self.timeout_header = reactor, agent, timeout_header
        self.tls, self.forwarded, self._trusted = tls, forwarded, Trusted.of(trusted)
        self._below: tuple[bytes, ...] = ()
        if self._trusted and not forwarded:
            raise ValueError("trusted needs forwarded=True: otherwise these headers are dropped")

    def getChild(self, path: bytes, request: Request) -> ReverseProxyResource:
        """This resource, one path segment further down."""
        child, rest = copy(self), request.postpath or []
        # One child stands for all that is left of the path, so a long path costs little.
        child.children, child._below = {}, (*self._below, path, *rest)
        request.prepath, request.postpath = [*(request.prepath or ()), *rest], []
        return child

    @cancel_on_disconnect
    async def render(self, request: Request) -> AsyncIterator[bytes] | bytes:
        """Relay the request, and answer with the upstream's response."""
        try:
            response = await self._send(request)
            check_head(response)
            body = stream_body(response)
            # Nothing is sent yet, so a failure of what came together with the head gives a 502.
            await deferLater(self._clock, 0)
            first = await anext(body, b"") if body.is_ready else b""
        except Refused as refused:
            return _page(request, refused.status, refused.detail)
        except _UPSTREAM_FAILED as error:
            return self._refuse(request, error)
        copy_head(response, request)
        return self._relay(first, body)

    def _send(self, request: Any) -> Deferred[IResponse]:
        clock = self._clock
        agent = CancellingAgent(bounded(self.agent or Agent(clock)), self.timeout_header)
        target = target_of(request, self._below)
        own = agent.header_in(current_scope())
        headers = self._headers(request, target.authority, own)
        path = self.path + target.path or b"/"
        uri = self._address.origin + path + target.query
        return agent.request(request.method, uri, headers, _body_of(request, clock))

    def _headers(self, request: Any, host: bytes | None, own: str | None) -> Headers:
        headers = relayed(request.requestHeaders, own, self._trusted.has(peer_of(request)))
        if self.forwarded:
            tell(headers, request, host, self._trusted)
        headers.setRawHeaders(b"host", [self._address.authority])
        return headers

    @property
    def _clock(self) -> Any:
        return reactor_for(self.reactor, IReactorTCP)

    @property
    def _address(self) -> Address:
        return Address(self.host, self.port, self.tls)

    def _refuse(self, request: Any, error: Exception) -> bytes:
        self._warn("{upstream} gave no answer: {error!r}", error)
        status = GATEWAY_TIMEOUT if isinstance(error, _TIMED_OUT) else BAD_GATEWAY
        return _page(request, status, "The upstream server gave no answer.")

    def _warn(self, text: str, error: Exception) -> None:
        log.warn(text, upstream=self._address.authority.decode("ascii"), error=error)

    async def _relay(self, chunk: bytes, body: Body) -> AsyncIterator[bytes]:
        try:
            yield chunk  # even an empty one, which sends the head
            while chunk := await anext(body, b""):
                yield chunk
        except _UPSTREAM_FAILED as error:
            self._warn("{upstream} broke off its answer: {error!r}", error)
            raise Told(f"the upstream server broke off its answer: {error!r}") from None
        finally:
            await body.aclose()


def _check_parts(reactor: object, agent: object, header: object) -> None:
    check_reactor(reactor, IReactorTCP)
    if agent is not None:
        check_agent("agent", agent)
    if header is not None and header is not NOT_GIVEN:
        check_header("timeout_header", header)


def _check_tls() -> None:
    try:
        import twisted.internet.ssl  # noqa: F401 - an Agent reports it missing only later
    except ImportError as error:
        raise ImportError(
            "tls=True needs pyOpenSSL: pip install 'cancelweb[tls]'", name=error.name
        ) from error


def _page(request: Any, status: int, detail: str) -> bytes:
    page: Any = errorPage(status, RESPONSES[status].decode("ascii"), detail)
    body: bytes = page.render(request)
    return body


def _body_of(request: Any, reactor: Any) -> FileBodyProducer | None:
    content = request.content
    content.seek(0)
    body = FileBodyProducer(content, Cooperator(scheduler=partial(reactor.callLater, 0)))
    # A body that is empty and announced as such is relayed as an empty body.
    has_body = body.length or request.requestHeaders.hasHeader(b"content-length")
    return body if has_body else None

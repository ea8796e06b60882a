"""Clients in memory that ask for pages: the public test kit, as these tests use it.

What belongs here: a visit, and the test case whose visits share a clock. What does not: the pages,
and sockets.
"""

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Outcome, Scope, cancel_on_disconnect, current_scope
from cancelweb.testing import Client, Connection, Exchange, HTTP2Connection, Response

from ._pages import GetPage, Handler, Page


def connect(root: Any, clock: Clock | None = None) -> Connection:
    """A connection to a resource or a Site, whose requests are as they are in production.

    The kit would add an observer, a monitor and a hook to each scope, and these tests are about
    scopes. So its client does not watch here, and has neither request nor outcome.
    """
    return Client(root, clock, watch=False).connect()


def connect_http2(root: Any, clock: Clock | None = None) -> HTTP2Connection:
    """A connection over HTTP/2 to a resource or a Site, as `connect` makes one over HTTP/1.1."""
    return Client(root, clock, watch=False).connect_http2()


def response_of(exchange: Exchange) -> Response:
    """The answer to a request. At least its head must have come."""
    response = exchange.response
    assert response is not None, f"{exchange} was not answered"
    return response


class Visit(Connection):
    """A connection with one request to one decorated handler, and what observers heard about it.

    Attributes:
        clock: the Site's.
        scope: the request's; there once the handler has been called.
        outcomes: what the observers were told; unless the options name others.
    """

    scope: Scope

    def __init__(self, handler: Handler, *, method: bytes = b"GET", **options: Any) -> None:
        self.outcomes: list[Outcome] = []
        self._handler = handler
        options.setdefault("observers", self.outcomes.append)
        page = Page(cancel_on_disconnect(**options)(self._handle))
        super().__init__(Client(page, watch=False))
        self.clock = self.client.clock
        self.request(method)

    def _handle(self, request: Request) -> object:
        self.scope = current_scope()
        return self._handler(request)

    @property
    def outcome(self) -> Outcome:
        """The only outcome."""
        assert len(self.outcomes) == 1, self.outcomes
        return self.outcomes[0]


class VisitTestCase(SynchronousTestCase):
    """A test that visits pages whose handlers are decorated.

    Attributes:
        clock: what all visits share.
        outcomes: what the observers of these handlers were told.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.outcomes: list[Outcome] = []

    def decorated(self, handler: Handler, page: type[GetPage] = GetPage, **options: Any) -> GetPage:
        """The page that the handler makes, once it is decorated."""
        options.setdefault("observers", self.outcomes.append)
        decorate: Any = cancel_on_disconnect(**options)
        return page(decorate(handler))

    def serve(self, handler: Handler, page: type[GetPage] = GetPage, **options: Any) -> Connection:
        """A connection to such a page."""
        return connect(self.decorated(handler, page, **options), self.clock)

    def serve_plain(self, handler: Handler, page: type[GetPage] = GetPage) -> Connection:
        """A connection to the page that the handler makes in plain Twisted."""
        return connect(page(handler), self.clock)

    def visit(self, handler: Handler, **options: Any) -> Connection:
        """A connection with one GET of the page that the handler makes."""
        connection = self.serve(handler, **options)
        connection.get()
        return connection

    @property
    def outcome(self) -> Outcome:
        """The only outcome."""
        self.assertEqual(len(self.outcomes), 1, self.outcomes)
        return self.outcomes[0]

    def assert_failed(self, connection: Connection, error: type[Exception]) -> Exception:
        """The client got the page of an internal error, and the error was logged once."""
        self.assertEqual(connection.response.code, 500)
        self.assertTrue(connection.response.is_complete)
        return self.logged_error(error)

    def logged_error(self, error: type[Exception]) -> Exception:
        """The only error in the log."""
        (failure,) = self.flushLoggedErrors()
        self.assertIsInstance(failure.value, error)
        logged: Exception = failure.value
        return logged


def lose(request: Request) -> None:
    """Let the client leave while its request is being handled."""
    transport: Any = request.transport
    transport.lose(Failure(ConnectionDone()))


def kept_request(method: bytes = b"GET", path: bytes = b"/") -> tuple[Connection, Request]:
    """A request that no entry point has met, and its connection."""
    kept: list[Request] = []

    def keep(request: Request) -> int:
        kept.append(request)
        return NOT_DONE_YET

    connection = connect(Page(keep))
    connection.request(method, path)
    return connection, kept[0]

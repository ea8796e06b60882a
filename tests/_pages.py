"""Pages to ask for, and the test case that asks for them in memory.

What belongs here: resources of one method, and what every test of them needs. What does not:
the tests.
"""

from collections.abc import Callable
from typing import Any
from weakref import ref

from attrs import define, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import Outcome, Scope, cancel_on_disconnect, scope_of

from ._inmemory import Client

PAGE = b"<p>A report.</p>"

Handler = Callable[[Request], object]


class Page(Resource):
    """A page that is made by one function."""

    isLeaf = True

    def __init__(self, handler: Callable[..., object]) -> None:
        super().__init__()
        self.render_GET = handler


class NoHead(Page):
    """A page of which Twisted fakes the HEAD with a GET."""

    allowedMethods = (b"GET",)
    render_HEAD: Any = None


@define(eq=False)
class Memory:
    """Weak references to what must not outlive a request."""

    requests: list["ref[Request]"] = field(factory=list)
    scopes: list["ref[Scope]"] = field(factory=list)

    def note(self, request: Request) -> None:
        """Remember a request and its scope."""
        self.requests.append(ref(request))
        self.scopes.append(ref(scope_of(request)))

    def alive(self) -> list[object]:
        """Those that still exist, without the help of the cycle collector."""
        found: list[object] = [each() for each in self.requests]
        found += [each() for each in self.scopes]
        return [each for each in found if each is not None]


class PageTestCase(SynchronousTestCase):
    """A test that asks for pages whose handlers are decorated.

    Attributes:
        outcomes: What the observers of these handlers were told.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.outcomes: list[Outcome] = []

    def serve(self, handler: Handler, page: type[Page] = Page, **options: Any) -> Client:
        """A connection to the page that the handler makes, once it is decorated."""
        options.setdefault("observers", self.outcomes.append)
        decorate: Any = cancel_on_disconnect(**options)
        return Client(page(decorate(handler)), self.clock)

    def serve_plain(self, handler: Handler, page: type[Page] = Page) -> Client:
        """A connection to the page that the handler makes in plain Twisted."""
        return Client(page(handler), self.clock)

    def visit(self, handler: Handler, **options: Any) -> Client:
        """One GET of the page that the handler makes."""
        client = self.serve(handler, **options)
        client.request()
        return client

    def outcome(self) -> Outcome:
        """The only outcome."""
        self.assertEqual(len(self.outcomes), 1, self.outcomes)
        return self.outcomes[0]

    def assert_failed(self, client: Client, error: type[Exception]) -> Exception:
        """The client got the page of an internal error, and the log the error, once."""
        self.assertEqual(client.response.status, 500)
        self.assertTrue(client.response.is_complete)
        return self.logged_error(error)

    def logged_error(self, error: type[Exception]) -> Exception:
        """The only error in the log."""
        (failure,) = self.flushLoggedErrors()
        self.assertIsInstance(failure.value, error)
        logged: Exception = failure.value
        return logged

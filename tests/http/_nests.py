"""Entry points, alone and nested in every combination, and a test case for them.

What belongs here: the ways to put a handler behind entry points. What does not: the tests.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import CancellingResource, Outcome, Scope, cancel_on_disconnect, current_scope
from cancelweb.testing import Connection

from .._pages import Handler, Page
from .._visits import connect

Nest = Callable[[Handler, dict[str, Any], dict[str, Any]], Resource]


def decorated(handler: Handler, outer: dict[str, Any], inner: dict[str, Any]) -> Resource:
    """A decorated handler."""
    return Page(cancel_on_disconnect(**outer)(handler))


def wrapped(handler: Handler, outer: dict[str, Any], inner: dict[str, Any]) -> Resource:
    """A wrapped resource."""
    return CancellingResource(Page(handler), **outer)  # type: ignore[return-value]


def decorated_in_decorated(
    handler: Handler, outer: dict[str, Any], inner: dict[str, Any]
) -> Resource:
    """A handler that is decorated twice."""
    return Page(cancel_on_disconnect(**outer)(cancel_on_disconnect(**inner)(handler)))


def decorated_in_wrapped(
    handler: Handler, outer: dict[str, Any], inner: dict[str, Any]
) -> Resource:
    """A decorated handler below a wrapper at the root."""
    root: Any = Resource()
    root.putChild(b"", Page(cancel_on_disconnect(**inner)(handler)))
    return CancellingResource(root, **outer)  # type: ignore[return-value]


def wrapped_in_wrapped(handler: Handler, outer: dict[str, Any], inner: dict[str, Any]) -> Resource:
    """A wrapped child below a wrapper at the root."""
    root: Any = Resource()
    root.putChild(b"", CancellingResource(Page(handler), **inner))
    return CancellingResource(root, **outer)  # type: ignore[return-value]


def wrapped_in_decorated(
    handler: Handler, outer: dict[str, Any], inner: dict[str, Any]
) -> Resource:
    """A decorated handler that renders a wrapped resource."""
    resource = CancellingResource(Page(handler), **inner)
    return Page(cancel_on_disconnect(**outer)(resource.render))


NESTS: list[Nest] = [
    decorated_in_decorated,
    decorated_in_wrapped,
    wrapped_in_wrapped,
    wrapped_in_decorated,
]
"""Two entry points."""

WRAPPED_ONLY: list[Nest] = [wrapped, wrapped_in_wrapped]
ENTRY_POINTS: list[Nest] = [
    decorated,
    *WRAPPED_ONLY,
    *(each for each in NESTS if each is not wrapped_in_wrapped),
]
"""One entry point or two."""


class NestTestCase(SynchronousTestCase):
    """Base class for the tests of entry points that meet on one request."""

    def setUp(self) -> None:
        """Create the lists of what is told, and of the scopes."""
        self.told: list[str] = []
        self.outcomes: list[Outcome] = []
        self.scopes: list[Scope] = []

    def note(self, name: str) -> Any:
        """A hook or an observer that notes its name."""

        def noting(_: object) -> None:
            self.told.append(name)

        return noting

    def handler(self, request: Request) -> Deferred[bytes]:
        """Note the scope, and wait."""
        self.scopes.append(current_scope())
        return Deferred()

    def ask(self, nest: Nest, handler: Handler, outer: Any = (), inner: Any = ()) -> Connection:
        """Send a GET to the handler behind the given entry points."""
        self.told.clear()
        self.outcomes.clear()
        self.scopes.clear()
        options = {"observers": self.outcomes.append, **dict(outer)}
        connection = connect(nest(handler, options, dict(inner)))
        connection.get()
        return connection

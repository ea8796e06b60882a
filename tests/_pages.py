"""Pages of one function each, and the simplest such functions.

What belongs here: resources and handlers that many tests need. What does not: the clients that ask.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request

PAGE = b"<p>A report.</p>"

Handler = Callable[[Any], Any]


class Page(Resource):
    """A page that one function makes, whatever the method."""

    isLeaf = True

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self._handler = handler

    def render(self, request: Request) -> Any:
        """Return what the function returns."""
        return self._handler(request)


class GetPage(Resource):
    """A page that has a GET, from which Twisted makes its HEAD, and refuses other methods."""

    isLeaf = True

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self.render_GET = handler


class NoHead(GetPage):
    """A page whose HEAD Twisted fakes by calling its GET."""

    allowedMethods = (b"GET",)
    render_HEAD: Any = None


def waiting(request: Request) -> Deferred[bytes]:
    """A handler that waits forever."""
    return Deferred()


def returning(result: object) -> Handler:
    """A handler that returns this result."""
    return lambda _: result


def raising(request: Request) -> bytes:
    """A handler that raises a ValueError."""
    raise ValueError("the handler's")

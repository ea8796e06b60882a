"""Handlers that the tests of the test kit ask, and what they look at.

What belongs here: what several of them share. What does not: the tests.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock, deferLater
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import cancel_on_disconnect
from cancelweb.testing import Exchange


def body_of(exchange: Exchange) -> bytes:
    """The body of a complete answer."""
    response = exchange.response
    assert response is not None and response.is_complete, response
    return response.body


def echo(request: Request) -> bytes:
    """A handler that answers with what it was sent."""
    content: Any = request.content
    return b" ".join([request.method, request.uri, content.read()])


def waiting(request: Request) -> int:
    """A handler of plain Twisted that never answers."""
    return NOT_DONE_YET


class Slow:
    """A decorated handler that takes two seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, request: Request) -> Any:
        """Handle a request."""
        return cancel_on_disconnect(self._later)(request)

    async def _later(self, request: Request) -> bytes:
        await deferLater(self._clock, 2)
        return b"late"


class Source:
    """A push producer that reports the calls that it gets."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell

    def pauseProducing(self) -> None:
        """See `IPushProducer`."""
        self._tell("pause")

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""
        self._tell("resume")

    def stopProducing(self) -> None:
        """See `IProducer`."""
        self._tell("stop")

"""Requests that cancelweb answers in place of their handler, and what the clients get.

What belongs here: what the tests of error pages share. What does not: the tests.
"""

from typing import Any, ClassVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import CancellingResource, Cause, cancel_on_disconnect, current_scope
from cancelweb.monitor import Monitor
from cancelweb.testing import Response

from .._pages import Page, waiting
from .._visits import connect

AS_TODAY = (
    b"<!DOCTYPE html>\n<html><head><title>503 - Service Unavailable</title></head><body>"
    b"<h1>Service Unavailable</h1><p>The request was stopped before it was done.</p></body></html>"
)


@frozen
class Evicted(Cause):
    """A cause whose text is for the log alone."""

    status: ClassVar[int] = 429
    secret: str = "token"


def evicted(request: Request) -> Deferred[bytes]:
    """A handler that cancels its own scope."""
    current_scope().cancel(Evicted())
    return Deferred()


class AnswerTestCase(SynchronousTestCase):
    """A request that meets its deadline after a second."""

    def ask(self, root: Any, accept: bytes | None = None, method: bytes = b"GET") -> Response:
        """Send one request, let a second pass, and return the response."""
        connection = connect(root)
        connection.request(method, headers={} if accept is None else {b"Accept": accept})
        connection.client.clock.advance(1)
        connection.client.clock.advance(0)
        return connection.response

    def deadline(self, error_page: object = None, handler: Any = waiting) -> Page:
        """A decorated page with a timeout of one second."""
        page: Any = error_page
        decorate: Any = cancel_on_disconnect(timeout=1, error_page=page, observers=())
        return Page(decorate(handler))

    def draining(self, **options: Any) -> CancellingResource:
        """A wrapped page whose monitor is draining, so that it turns requests away."""
        monitor = Monitor(Clock())
        monitor.drain(0)
        return CancellingResource(Page(waiting), monitor=monitor, observers=(), **options)

"""Pages that track work beside their answer.

What belongs here: what the tests of tracked work share. What does not: the tests.
"""

from collections.abc import Callable
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from cancelweb import ICancellable, scope_of
from cancelweb.testing import Connection

from .._pages import PAGE
from .._visits import VisitTestCase


def finish(request: Any) -> None:
    """Answer with the page."""
    request.write(PAGE)
    request.finish()


class TrackingTestCase(VisitTestCase):
    """A test of work that is tracked beside what the handler returns."""

    def track(self, *works: object, **options: Any) -> Connection:
        """Visit a page that tracks the work and answers later."""
        return self.visit(self.tracking(*works), **options)

    def tracking(self, *works: object) -> Callable[[Request], int]:
        """A handler that tracks the work and answers later."""

        def handler(request: Any) -> int:
            for work in works:
                self.assertIs(scope_of(request).track(work), work)
            self.request = request
            return NOT_DONE_YET

        return handler


@implementer(ICancellable)
@define(eq=False)
class Query:
    """Work that is its own canceller."""

    settled: Deferred[Any] = Factory(Deferred)
    cancels: int = 0

    def cancel(self) -> None:
        self.cancels += 1
        self.settled.errback(CancelledError())

    def when_settled(self) -> Deferred[Any]:
        return self.settled

"""Handlers that run in a second scope, because their client left before they were found.

What belongs here: what the tests of second scopes share. What does not: the tests.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request
from twisted.web.util import DeferredResource

from cancelweb import CancellingResource, Outcome, Scope
from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from .._pages import Page
from .._visits import connect


class SecondScopeTestCase(SynchronousTestCase):
    """A late child that is delivered after its client has left."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.late: Deferred[Any] = Deferred()
        self.outcomes: list[Outcome] = []
        self.exits: list[Scope] = []
        self.ran: list[bytes] = []
        self.monitor = Monitor(self.clock)

    def wrap(self, resource: Any, **options: Any) -> Any:
        """Wrap the resource, with the observer, the monitor and the exit hook of the test."""
        given: dict[str, Any] = {"observers": self.outcomes.append, "monitor": self.monitor}
        given["on_exit"] = self.exits.append
        return CancellingResource(resource, **given | options)

    def leave(self, method: bytes = b"POST", **options: Any) -> Connection:
        """Ask for a late child, and leave."""
        connection = connect(self.wrap(DeferredResource(self.late), **options), self.clock)
        connection.request(method)
        connection.disconnect()
        return connection

    def deliver(self, handler: Callable[[Request], object]) -> None:
        """Deliver the late child."""
        self.late.callback(Page(handler))

    async def failing(self, request: Request) -> bytes:
        """A handler that fails after a second."""
        await deferLater(self.clock, 1)
        raise ValueError

    async def working(self, request: Request) -> bytes:
        """A handler that takes a second."""
        await deferLater(self.clock, 1)
        self.ran.append(request.method)
        return b"page"

    def second(self) -> Outcome:
        """The outcome of the second scope, in which no hook ran."""
        self.assertEqual(len(self.outcomes), 2, self.outcomes)
        self.assertEqual(len(self.exits), 1)
        return self.outcomes[1]

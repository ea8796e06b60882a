"""A client that leaves before its handler is found, which is then run in a second scope.

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
    """A client that leaves before the child is there, which is then run all the same."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.late: Deferred[Any] = Deferred()
        self.outcomes: list[Outcome] = []
        self.exits: list[Scope] = []
        self.ran: list[bytes] = []
        self.monitor = Monitor(self.clock)

    def wrap(self, resource: Any, **options: Any) -> Any:
        """The resource, behind an entry point that is told all."""
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
        """The child is there."""
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
        """What was told of the second scope, whose hooks were not run."""
        self.assertEqual(len(self.outcomes), 2, self.outcomes)
        self.assertEqual(len(self.exits), 1)
        return self.outcomes[1]

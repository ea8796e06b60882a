"""A test case for clients that leave wrapped resources, over real sockets.

What belongs here: what these tests share. What does not: the resources themselves, which
are in `_others`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from cancelweb import CancellingResource, Disconnected, Ended, Outcome

from .._loopback import connect, request, serve
from .._sockets import SocketConnection


class LeavingTestCase(TestCase):
    """A wrapped resource, and a client that leaves."""

    timeout = 30

    def setUp(self) -> None:
        """Create the Deferred that fires with the outcome of the only request."""
        self.ended: Deferred[Outcome] = Deferred()

    def wrap(self, resource: Any, **options: Any) -> CancellingResource:
        """Wrap a resource."""
        return CancellingResource(resource, observers=self.ended.callback, **options)

    async def visit(
        self, resource: Any, data: bytes | None = None, **options: Any
    ) -> SocketConnection:
        """Ask for a wrapped resource, and do not wait for the answer."""
        connection = await connect(self, serve(self, self.wrap(resource, **options)))
        connection.send(request() if data is None else data)
        return connection

    async def assert_left(self, ended: Ended) -> None:
        """The scope was cancelled because its client left, and ended as given."""
        outcome = await self.ended
        self.assertIsInstance(outcome.cause, Disconnected)
        self.assertIs(outcome.ended, ended)

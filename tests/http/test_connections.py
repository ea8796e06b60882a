"""Requests that share a connection: each of them has a scope of its own.

How a scope is found is for `scopes.test_context`.
"""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import Scope, cancel_on_disconnect, current_scope

from .._pages import Page
from .._visits import connect


class TwoRequestsTests(SynchronousTestCase):
    """Two requests on one connection share no state."""

    def test_each_has_a_scope(self) -> None:
        """Two requests on one connection have a scope each."""
        scopes: list[Scope] = []

        @cancel_on_disconnect
        def handler(request: Request) -> bytes:
            scopes.append(current_scope())
            return b"page"

        connection = connect(Page(handler))
        connection.get()
        connection.get()
        self.assertEqual(len(set(map(id, scopes))), 2)
        self.assertEqual([each.body for each in connection.responses], [b"page", b"page"])

    def test_pipelined_behind_one_that_waits(self) -> None:
        """A disconnect cancels a pipelined request, but not the answered request before it."""
        results = [Deferred[bytes](), Deferred[bytes]()]
        asked = iter(results)
        scopes: list[Scope] = []

        @cancel_on_disconnect
        def handler(request: Request) -> Deferred[bytes]:
            scopes.append(current_scope())
            return next(asked)

        connection = connect(Page(handler))
        connection.get()
        connection.get()
        results[0].callback(b"first")
        connection.disconnect()
        self.assertEqual(connection.response.body, b"first")
        self.assertIsNone(scopes[0].cause)
        self.assertIsNotNone(scopes[1].cause)
        self.assertTrue(results[1].called)

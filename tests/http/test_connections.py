"""Requests that share a connection: nothing is kept by connection.

How a scope is found is for `scopes.test_context`.
"""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import Scope, cancel_on_disconnect, current_scope

from .._inmemory import Client
from .._scopes import Leaf


class TwoRequestsTests(SynchronousTestCase):
    """Nothing is kept by connection."""

    def test_each_has_a_scope(self) -> None:
        """Requests one after another on one connection have a scope each."""
        scopes: list[Scope] = []

        @cancel_on_disconnect
        def handler(request: Request) -> bytes:
            scopes.append(current_scope())
            return b"page"

        client = Client(Leaf(handler))
        client.request()
        client.request()
        self.assertEqual(len(set(map(id, scopes))), 2)
        self.assertEqual([each.body for each in client.responses], [b"page", b"page"])

    def test_pipelined_behind_one_that_waits(self) -> None:
        """A request that was pipelined is served when the first is done, and lost for itself."""
        results = [Deferred[bytes](), Deferred[bytes]()]
        asked = iter(results)
        scopes: list[Scope] = []

        @cancel_on_disconnect
        def handler(request: Request) -> Deferred[bytes]:
            scopes.append(current_scope())
            return next(asked)

        client = Client(Leaf(handler))
        client.request()
        client.request()
        results[0].callback(b"first")
        client.disconnect()
        self.assertEqual(client.response.body, b"first")
        self.assertIsNone(scopes[0].cause)
        self.assertIsNotNone(scopes[1].cause)
        self.assertTrue(results[1].called)

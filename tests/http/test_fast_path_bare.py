"""Entry points that were given nothing, and what their handlers wait for: the shortest way through.

What belongs here: what must come of that way just as of the longer one, which all other tests take,
since they observe.
"""

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import Disconnected, Draining, Scope, cancel_on_disconnect, scope_of
from cancelweb.testing import Connection

from .._pages import PAGE, GetPage, Handler, NoHead, Page
from .._visits import connect, lose
from .._work import Errand


class BareTests(SynchronousTestCase):
    """An entry point without options."""

    def setUp(self) -> None:
        self.waits: Deferred[bytes] = Deferred()

    def visit(
        self, handler: Handler, method: bytes = b"GET", page: type[Page | GetPage] = Page
    ) -> Connection:
        """Ask; note the scope."""

        def noting(request: Request) -> object:
            self.scope: Scope = scope_of(request)
            return handler(request)

        connection = connect(page(cancel_on_disconnect(noting)))
        connection.request(method)
        return connection

    def assert_closed(self) -> None:
        """The scope has let go of the request."""
        self.assertIsNone(self.scope.request)

    def test_settled_at_once(self) -> None:
        """What need not be waited for is given back to Twisted, and nobody listens to the end."""

        async def coroutine(request: Any) -> bytes:
            self.request = request
            return PAGE

        def deferred(request: Any) -> Deferred[bytes]:
            self.request = request
            return succeed(PAGE)

        handlers: list[Handler] = [coroutine, deferred]
        for handler in handlers:
            self.assertEqual(self.visit(handler).response.body, PAGE)
            self.assertEqual(self.request.notifications, [])
            self.assert_closed()

    def test_failed_late(self) -> None:
        """A coroutine that fails is answered with a 500, and its error is logged."""

        async def handler(_: Request) -> bytes:
            await self.waits
            raise ValueError

        connection = self.visit(handler)
        self.waits.callback(b"")
        self.assertEqual(connection.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assert_closed()

    def test_tracked_before_it_waits(self) -> None:
        """What a coroutine tracks before it waits is stopped with it, after it."""
        errand = Errand()

        async def handler(request: Request) -> bytes:
            scope_of(request).track(errand)
            return await self.waits

        connection = self.visit(handler)
        connection.disconnect()
        self.assertEqual(errand.asked, [""])
        self.assertTrue(self.waits.called)
        self.assertIsInstance(self.scope.cause, Disconnected)
        self.assert_closed()

    def test_lost_before_it_waits(self) -> None:
        """A coroutine whose client leaves in its first step is stopped where it then waits."""

        async def handler(request: Request) -> bytes:
            lose(request)
            return await self.waits

        self.visit(handler)
        self.assertTrue(self.waits.called)
        self.assert_closed()

    def test_finished_before_it_waits(self) -> None:
        """A coroutine that has answered may go on, and its scope ends with it."""

        async def handler(request: Request) -> bytes:
            request.write(PAGE)
            request.finish()
            return await self.waits

        connection = self.visit(handler)
        connection.disconnect()
        self.assertFalse(self.waits.called)
        self.waits.callback(b"more")
        self.assertEqual(connection.response.body, PAGE)
        self.assert_closed()

    def test_cancelled_before_it_waits(self) -> None:
        """A coroutine that cancels its scope in its first step is stopped in the next turn."""

        async def handler(request: Request) -> bytes:
            scope_of(request).cancel(Draining())
            return await self.waits

        connection = self.visit(handler)
        self.assertFalse(self.waits.called)
        connection.client.clock.advance(0)
        self.assertTrue(self.waits.called)
        self.assertEqual(connection.response.code, 503)

    def test_more_to_wait_for(self) -> None:
        """What comes at once may itself be waited for, and stopped."""
        connection = self.visit(lambda _: succeed(self.waits))
        connection.disconnect()
        self.assertTrue(self.waits.called)
        self.assert_closed()

    def test_a_timer_that_leaves_more_to_do(self) -> None:
        """What is tracked when the timer has run is no straggler: its request still waits."""
        requests: list[Request] = []
        clock = Clock()

        def handler(request: Request) -> IDelayedCall:
            requests.append(request)
            return clock.callLater(1, int)

        connection = self.visit(handler)
        clock.advance(1)
        errand = scope_of(requests[0]).track(Errand())
        self.assertEqual(errand.asked, [])
        connection.disconnect()
        self.assertEqual(errand.asked, [""])
        self.assert_closed()

    def test_finished_by_somebody(self) -> None:
        """The work of a request that somebody has finished goes on; its scope ends with it."""
        requests: list[Request] = []

        def handler(request: Request) -> Deferred[bytes]:
            requests.append(request)
            return self.waits

        connection = self.visit(handler)
        requests[0].finish()
        connection.disconnect()
        self.assertFalse(self.waits.called)
        self.assertIsNotNone(self.scope.request)
        self.waits.callback(b"more")
        self.assert_closed()

    def test_failed_after_the_response(self) -> None:
        """Work that fails when the response is out is logged: nobody else will tell."""
        requests: list[Request] = []

        def handler(request: Request) -> Deferred[bytes]:
            requests.append(request)
            return self.waits

        self.visit(handler)
        requests[0].finish()
        self.waits.errback(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assert_closed()

    def test_under_a_faked_head(self) -> None:
        """What is waited for when Twisted answers a HEAD that it fakes is stopped."""
        connection = self.visit(lambda _: self.waits, b"HEAD", NoHead)
        self.assertEqual(connection.response.code, 200)
        self.assertTrue(self.waits.called)
        self.assert_closed()

    def test_settled_at_once_under_a_faked_head(self) -> None:
        """What need not be waited for is what Twisted takes the length of its HEAD from."""
        connection = self.visit(lambda _: succeed(PAGE), b"HEAD", NoHead)
        self.assertEqual(connection.response.header(b"content-length"), b"%d" % len(PAGE))
        self.assertEqual(connection.response.body, b"")
        self.assert_closed()

    def test_one_listener(self) -> None:
        """However many entry points meet, one of them listens to the end of the request."""
        requests: list[Request] = []

        def handler(request: Request) -> Deferred[bytes]:
            requests.append(request)
            return self.waits

        self.visit(cancel_on_disconnect(cancel_on_disconnect(handler)))
        self.assertEqual(len(requests[0].notifications), 1)

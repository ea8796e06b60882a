"""Entry points without options, whose requests take the shortest path.

What belongs here: what must hold on that path as on the longer one, which all other tests take,
since they have observers.
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
        """Ask for the page, and note the scope."""

        def noting(request: Request) -> Any:
            self.scope: Scope = scope_of(request)
            return handler(request)

        connection = connect(page(cancel_on_disconnect(noting)))
        connection.request(method)
        return connection

    def assert_closed(self) -> None:
        """The scope has let go of the request."""
        self.assertIsNone(self.scope.request)

    def test_settled_at_once(self) -> None:
        """A page that is there at once is sent, and adds no listener to the request."""

        async def coroutine(request: Any) -> bytes:
            self.notifications = request.notifications
            return PAGE

        def deferred(request: Any) -> Deferred[bytes]:
            self.notifications = request.notifications
            return succeed(PAGE)

        handlers: list[Handler] = [coroutine, deferred]
        for handler in handlers:
            self.assertEqual(self.visit(handler).response.body, PAGE)
            # Twisted replaces the list at the finish, so look at the list of before.
            self.assertEqual(self.notifications, [])
            self.assert_closed()

    def test_failed_late(self) -> None:
        """A coroutine that fails after a wait is answered with a 500, and its error is logged."""

        async def handler(_: Request) -> bytes:
            await self.waits
            raise ValueError

        connection = self.visit(handler)
        self.waits.callback(b"")
        self.assertEqual(connection.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assert_closed()

    def test_tracked_before_it_waits(self) -> None:
        """Work that a coroutine tracks before it waits is stopped after the coroutine itself."""
        asked: list[str] = []

        async def handler(request: Request) -> bytes:
            scope_of(request).track(Errand(asked, "tracked"))
            return await Deferred[bytes](lambda _: asked.append("coroutine"))

        connection = self.visit(handler)
        connection.disconnect()
        self.assertEqual(asked, ["coroutine", "tracked"])
        self.assertIsInstance(self.scope.cause, Disconnected)
        self.assert_closed()

    def test_lost_before_it_waits(self) -> None:
        """A coroutine whose client leaves in its first step is stopped at its first wait."""

        async def handler(request: Request) -> bytes:
            lose(request)
            return await self.waits

        self.visit(handler)
        self.assertTrue(self.waits.called)
        self.assert_closed()

    def test_finished_before_it_waits(self) -> None:
        """A coroutine that has finished the response runs on, and the scope closes at its end."""

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
        """A Deferred that another Deferred results in is stopped when the client leaves."""
        connection = self.visit(lambda _: succeed(self.waits))
        connection.disconnect()
        self.assertTrue(self.waits.called)
        self.assert_closed()

    def test_a_timer_that_leaves_more_to_do(self) -> None:
        """Work that is tracked after the timer has run is stopped only when the client leaves."""
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

    def test_finished_by_other_code(self) -> None:
        """Work of a response that other code has finished runs on, and its end closes the scope."""
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
        """Work that fails after the response is finished is logged."""
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
        """Work behind a HEAD that Twisted fakes is stopped when Twisted has answered."""
        connection = self.visit(lambda _: self.waits, b"HEAD", NoHead)
        self.assertEqual(connection.response.code, 200)
        self.assertTrue(self.waits.called)
        self.assert_closed()

    def test_settled_at_once_under_a_faked_head(self) -> None:
        """A HEAD that Twisted fakes has the length of a page that is there at once."""
        connection = self.visit(lambda _: succeed(PAGE), b"HEAD", NoHead)
        self.assertEqual(connection.response.header(b"content-length"), b"%d" % len(PAGE))
        self.assertEqual(connection.response.body, b"")
        self.assert_closed()

    def test_one_listener(self) -> None:
        """Entry points that meet add one listener to the request."""
        requests: list[Request] = []

        def handler(request: Request) -> Deferred[bytes]:
            requests.append(request)
            return self.waits

        self.visit(cancel_on_disconnect(cancel_on_disconnect(handler)))
        self.assertEqual(len(requests[0].notifications), 1)

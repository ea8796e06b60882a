"""HTTP/1 as in plain Twisted: HEAD, HTTP/1.0, pipelining.

What belongs here: what requests and connections do to each other, in memory. What does not:
HTTP/2, upgrades, and what is sent at a deadline.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.web.error import UnsupportedMethod
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Ended, cancel_on_disconnect, current_scope, scope_of
from cancelweb.testing import Connection

from .._cycles import no_cycles
from .._pages import PAGE, GetPage, Handler, NoHead, Page
from .._visits import VisitTestCase, connect

VERSIONS = [b"HTTP/1.1", b"HTTP/1.0"]
METHODS = [b"GET", b"HEAD"]


class AsPlainTests(VisitTestCase):
    """A page that is known when the handler returns is sent as plain Twisted sends it."""

    def assert_as_plain(self, handler: Handler, page: type[GetPage] = GetPage) -> None:
        """The client sees no difference to plain bytes, for GET and HEAD."""
        for method in METHODS:
            for version in VERSIONS:
                plain, ours = self.serve_plain(lambda _: PAGE, page), self.serve(handler, page)
                for connection in [plain, ours]:
                    connection.request(method, version=version)
                    self.clock.advance(0)
                self.assertEqual(ours.response, plain.response)
                self.assertEqual(ours.is_closed, plain.is_closed)
                self.assertEqual(ours.response.header(b"content-length"), b"%d" % len(PAGE))

    def test_bytes(self) -> None:
        """Bytes are sent as plain Twisted sends them."""
        self.assert_as_plain(lambda _: PAGE)

    def test_bytes_under_a_faked_head(self) -> None:
        """Bytes are sent as plain Twisted sends them where Twisted fakes the HEAD."""
        self.assert_as_plain(lambda _: PAGE, NoHead)

    def test_settled(self) -> None:
        """A Deferred that has fired, and a coroutine that does not wait, are sent like bytes."""

        async def handler(_: Request) -> bytes:
            return PAGE

        self.assert_as_plain(handler)
        self.assert_as_plain(lambda _: succeed(PAGE))

    def test_empty_head(self) -> None:
        """The HEAD of an empty page that was waited for is answered as in plain Twisted."""
        plain, result = self.serve_plain(lambda _: b""), Deferred[bytes]()
        plain.request(b"HEAD")
        ours = self.serve(lambda _: result)
        ours.request(b"HEAD")
        result.callback(b"")
        self.assertEqual(ours.response, plain.response)

    def test_settled_under_a_faked_head(self) -> None:
        """Work that has settled already is sent like bytes where Twisted fakes the HEAD."""

        async def handler(_: Request) -> bytes:
            return PAGE

        self.assert_as_plain(handler, NoHead)
        self.assert_as_plain(lambda _: succeed(PAGE), NoHead)

    def test_nothing_subscribed(self) -> None:
        """Bytes and a Deferred that has fired add no listener to the request."""
        for work in [lambda: PAGE, lambda: succeed(PAGE)]:

            def handler(request: Any, work: Callable[[], object] = work) -> object:
                self.notifications = request.notifications
                return work()

            self.visit(handler)
            self.assertEqual(self.notifications, [])


class FakedHeadTests(VisitTestCase):
    """A HEAD that Twisted fakes with a GET, whose handler waits."""

    def test_answer_is_twisteds(self) -> None:
        """A HEAD that Twisted fakes is answered as in plain Twisted, while the handler waits."""
        plain = self.serve_plain(lambda _: NOT_DONE_YET, NoHead)
        ours = self.serve(lambda _: Deferred[bytes](), NoHead)
        for connection in [plain, ours]:
            connection.request(b"HEAD")
        self.assertEqual(ours.response, plain.response)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_leaves_no_cycle(self) -> None:
        """A HEAD that Twisted fakes leaves no reference cycle."""

        def handler(request: Request) -> int:
            if request.method == b"HEAD":
                raise UnsupportedMethod((b"GET",))
            return NOT_DONE_YET

        with no_cycles(self):
            connection = connect(Page(cancel_on_disconnect(handler)), Clock())
            connection.request(b"HEAD")
            self.assertEqual(connection.response.code, 200)
            connection.disconnect()
            del connection

    def test_returned_work(self) -> None:
        """Work that a handler returned for a HEAD that Twisted fakes is stopped."""
        stopped: list[object] = []
        connection = self.serve(lambda _: Deferred[bytes](stopped.append), NoHead)
        connection.request(b"HEAD")
        self.assertEqual(len(stopped), 1)
        self.assertIs(self.outcome.ended, Ended.COMPLETED)

    def test_tracked_work(self) -> None:
        """Work that was tracked for a HEAD that Twisted fakes is stopped as leftover work."""
        stopped: list[object] = []

        def handler(request: Request) -> int:
            scope_of(request).track(Deferred[None](stopped.append))
            return NOT_DONE_YET

        connection = self.serve(handler, NoHead)
        connection.request(b"HEAD")
        self.assertEqual(len(stopped), 1)
        self.assertEqual((self.outcome.ended, self.outcome.leftovers), (Ended.COMPLETED, 1))

    def test_late_page(self) -> None:
        """Work that swallows its cancellation under a faked HEAD is dropped without a warning."""
        work = Deferred[bytes]().addErrback(lambda _: PAGE)
        connection = self.serve(lambda _: work, NoHead)
        connection.request(b"HEAD")
        connection.request(b"HEAD")
        self.assertEqual([each.body for each in connection.responses], [b"", b""])
        self.assertEqual(self.flushWarnings(), [])

    def test_connection_goes_on(self) -> None:
        """The connection serves the next request after a HEAD that Twisted fakes."""
        connection = self.serve(lambda _: Deferred[bytes](), NoHead)
        connection.request(b"HEAD")
        connection.request(b"HEAD")
        self.assertEqual([each.code for each in connection.responses], [200, 200])


class PipeliningTests(VisitTestCase):
    """Several requests on one connection."""

    def setUp(self) -> None:
        super().setUp()
        self.works: dict[bytes, Deferred[bytes]] = {}
        self.stopped: list[bytes] = []

    def handler(self, request: Any) -> object:
        """Wait for the Deferred of this path."""
        path = request.path
        self.works[path] = Deferred(lambda _: self.stopped.append(path))
        return self.works[path]

    def test_one_after_the_other(self) -> None:
        """Pipelined requests get their own answers, in the order of the requests."""
        connection = self.serve(self.handler)
        for path in [b"/1", b"/2", b"/3"]:
            connection.get(path=path)
        for path in [b"/1", b"/2", b"/3"]:
            self.works[path].callback(b"page of " + path)
        self.assertEqual(
            [each.body for each in connection.responses],
            [b"page of /1", b"page of /2", b"page of /3"],
        )

    def test_disconnect(self) -> None:
        """When the client leaves, only the pipelined request that runs is stopped."""
        connection = self.serve(self.handler)
        for path in [b"/1", b"/2", b"/3"]:
            connection.get(path=path)
        self.works[b"/1"].callback(PAGE)
        connection.disconnect()
        self.assertEqual(self.stopped, [b"/2"])
        self.assertEqual([each.path for each in self.outcomes], [b"/1", b"/2"])
        self.assertNotIn(b"/3", self.works)

    def test_within_the_finish_of_another(self) -> None:
        """A request that Twisted renders in the `finish` of another has a scope of its own."""
        scopes: dict[bytes, object] = {}

        async def handler(request: Any) -> None:
            scopes[request.path] = current_scope()
            self.assertIs(current_scope(), scope_of(request))
            if request.path == b"/1":
                await self.handler(request)  # type: ignore[misc]
                request.finish()
                self.assertIs(current_scope(), scopes[b"/1"])
            else:
                await self.handler(request)  # type: ignore[misc]

        connection = self.serve(handler)
        connection.get(path=b"/1")
        connection.get(path=b"/2")
        self.works[b"/1"].callback(b"")
        self.assertIsNot(scopes[b"/2"], scopes[b"/1"])
        connection.disconnect()
        self.assertEqual(self.stopped, [b"/2"])
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED, Ended.STOPPED])

    def test_bytes_behind_work(self) -> None:
        """A pipelined request that is answered at once waits for the request before it."""
        connection = self.serve(
            lambda request: PAGE if request.path == b"/2" else self.handler(request)
        )
        connection.get(path=b"/1")
        connection.get(path=b"/2")
        self.assertEqual(connection.responses, [])
        self.works[b"/1"].callback(PAGE)
        self.assertEqual([each.body for each in connection.responses], [PAGE, PAGE])


class LeavingWhileRenderingTests(VisitTestCase):
    """A client that leaves before the handler has returned."""

    def leaving(self, result: object) -> Connection:
        """Visit a page whose client leaves while the handler runs."""

        def handler(_: Request) -> object:
            connection.disconnect()
            return result

        connection = self.serve(handler)
        connection.get()
        return connection

    def test_work(self) -> None:
        """Work that a handler returns after its client has left is stopped."""
        stopped: list[object] = []
        self.leaving(Deferred(stopped.append))
        self.assertEqual(len(stopped), 1)
        self.assertEqual(self.outcome.ended, Ended.STOPPED)

    def test_not_done_yet(self) -> None:
        """The scope of a handler that returns NOT_DONE_YET after its client has left closes."""
        self.leaving(NOT_DONE_YET)
        self.assertEqual(len(self.outcomes), 1)

    def test_bytes(self) -> None:
        """A page whose client has left is not sent, and only None is logged as an error."""
        for result in [PAGE, succeed(PAGE), None]:
            connection = self.leaving(result)
            self.assertEqual(connection.received, b"")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)  # That of None.
        self.assertEqual(len(self.outcomes), 3)

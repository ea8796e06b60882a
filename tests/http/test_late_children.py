"""Late children of a wrapped tree are wrapped, whether their client waits or has left.

A `DeferredResource` delivers them; the wrapper that asks for a password has a module of its own.
"""

import gc
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request
from twisted.web.static import File
from twisted.web.util import DeferredResource

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
    Outcome,
    Scope,
    cancel_on_disconnect,
    current_scope,
)
from cancelweb.testing import Connection

from .._cycles import no_cycles
from .._pages import Page, waiting
from .._visits import connect


class LateTestCase(SynchronousTestCase):
    """A wrapped resource whose children are delivered late."""

    def setUp(self) -> None:
        """Create the lists of what is told, and of what runs."""
        self.late: Deferred[Any] = Deferred()
        self.outcomes: list[Outcome] = []
        self.exits: list[Scope] = []
        self.ran: list[bytes] = []

    def ask(self, method: bytes = b"GET", path: bytes = b"/", **options: Any) -> Connection:
        """Ask for a late child."""
        wrapper = CancellingResource(
            DeferredResource(self.late),
            on_exit=self.exits.append,
            observers=self.outcomes.append,
            **options,
        )
        connection = connect(wrapper)
        connection.request(method, path)
        return connection

    def render(self, request: Request) -> Deferred[bytes]:
        """A late child's handler, which notes that it ran, and waits."""
        self.ran.append(request.method)
        return Deferred()

    def render_at_once(self, request: Request) -> bytes:
        """A late child's handler, which notes that it ran, and returns a page."""
        self.ran.append(request.method)
        return b"page"

    def assert_told_once(self, ended: Ended) -> Outcome:
        """There was one outcome, and the exit hook ran once."""
        self.assertEqual([each.ended for each in self.outcomes], [ended])
        self.assertEqual(len(self.exits), 1)
        return self.outcomes[0]


class AliveTests(LateTestCase):
    """The client waits for the late child."""

    def test_its_deferred(self) -> None:
        """A late child that returns a Deferred is served."""
        result: Deferred[bytes] = Deferred()
        connection = self.ask()
        self.late.callback(Page(lambda _: result))
        result.callback(b"page")
        self.assertEqual(connection.response.body, b"page")
        self.assert_told_once(Ended.COMPLETED)

    def test_its_bytes(self) -> None:
        """A late child that returns bytes is served with their length."""
        connection = self.ask()
        self.late.callback(Page(lambda _: b"page"))
        self.assertEqual(connection.response.header(b"content-length"), b"4")
        self.assert_told_once(Ended.COMPLETED)

    def test_its_error(self) -> None:
        """A late child that raises is answered with a 500."""

        def broken(request: Request) -> bytes:
            raise ValueError

        connection = self.ask()
        self.late.callback(Page(broken))
        self.assertEqual(connection.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assert_told_once(Ended.FAILED)

    def test_is_cancelled(self) -> None:
        """The work of a late child stops when the client leaves, in the scope of the request."""
        found: list[Scope] = []

        def handler(request: Request) -> Deferred[bytes]:
            found.append(current_scope())
            return self.render(request)

        connection = self.ask()
        self.late.callback(Page(handler))
        connection.disconnect()
        self.assertEqual(found, self.exits)
        self.assertIsInstance(self.assert_told_once(Ended.STOPPED).cause, Disconnected)

    def test_its_children(self) -> None:
        """A late resource may have children, and they see their paths."""

        class Late(Resource):
            def getChild(self, path: bytes, request: Request) -> Resource:
                return Page(lambda r: b"%b at %b" % (path, b"/".join(r.prepath)))

        connection = self.ask(path=b"/child")
        self.late.callback(Late())
        self.assertEqual(connection.response.body, b"child at child")

    def test_is_decorated(self) -> None:
        """A late child with a decorated method shares the scope of its request."""
        connection = self.ask()
        decorated = cancel_on_disconnect(on_exit=self.exits.append, observers=())(self.render)
        self.late.callback(Page(decorated))
        connection.disconnect()
        self.assertEqual(len(self.exits), 2)
        self.assertIs(self.exits[0], self.exits[1])
        self.assertEqual([each.ended for each in self.outcomes], [Ended.STOPPED])

    def test_within_a_late_child(self) -> None:
        """A late child inside a late child is stopped when the client leaves."""
        later: Deferred[Any] = Deferred()
        result: Deferred[bytes] = Deferred(lambda _: None)
        connection = self.ask()
        self.late.callback(DeferredResource(later))
        later.callback(Page(lambda _: result))
        connection.disconnect()
        self.assertTrue(result.called)
        self.assert_told_once(Ended.STOPPED)

    def test_deadline(self) -> None:
        """The deadline of a late child counts from the request, not from the delivery."""
        connection = self.ask(timeout=3)
        connection.client.clock.advance(2)
        self.late.callback(Page(self.render))
        connection.client.clock.advance(1)
        self.assertEqual(connection.response.code, 503)
        self.assert_told_once(Ended.STOPPED)

    def test_leaves_nothing_behind(self) -> None:
        """A late child leaves no reference cycle, whether its client stays or leaves."""
        stays, late = self.ask(), self.late
        self.late = Deferred()
        leaves, later = self.ask(), self.late
        with no_cycles(self):
            late.callback(Page(lambda _: b"page"))
            later.callback(Page(waiting))
            leaves.disconnect()
            self.exits.clear()
            del late, later, self.late
        self.assertEqual(stays.response.body, b"page")


class DeadTests(LateTestCase):
    """The client has left before the late child is delivered (Twisted ticket 4899)."""

    def test_is_not_run(self) -> None:
        """A late child whose client has left does not run, and nothing more is told."""
        connection = self.ask()
        connection.disconnect()
        self.late.callback(Page(self.render))
        self.assertEqual(self.ran, [])
        self.assert_told_once(Ended.LET_GO)

    def test_a_decorated_one_is_not_run(self) -> None:
        """A decorated late child whose client has left does not run, and neither do its hooks."""
        own: list[Scope] = []
        connection = self.ask()
        connection.disconnect()
        hooks: Any = {"on_cancel": own.append, "on_exit": own.append}
        self.late.callback(Page(cancel_on_disconnect(**hooks, observers=())(self.render)))
        # The wrapper refuses the child before the decorator could meet the request.
        self.assertEqual((self.ran, own), ([], []))
        self.assertEqual(len(self.exits), 1)

    def test_an_unsafe_method_is_run(self) -> None:
        """A late child of a POST whose client has left runs, but no exit hook runs again."""
        connection = self.ask(b"POST")
        connection.disconnect()
        self.late.callback(Page(self.render_at_once))
        self.assertEqual(self.ran, [b"POST"])
        self.assertEqual(len(self.exits), 1)

    def test_a_dry_run_is_run(self) -> None:
        """A late child in a dry run whose client has left runs, but no exit hook runs again."""
        connection = self.ask(dry_run=True)
        connection.disconnect()
        self.late.callback(Page(self.render_at_once))
        self.assertEqual(self.ran, [b"GET"])
        self.assertEqual(len(self.exits), 1)

    def test_a_real_file(self) -> None:
        """A late `static.File` whose client has left raises nothing, not even in a dry run."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"content")
        for dry_run in (False, True):
            self.late = Deferred()
            connection = self.ask(dry_run=dry_run)
            connection.disconnect()
            self.late.callback(File(path))
            self.assertEqual(connection.received, b"")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_childs_getchild_is_still_called(self) -> None:
        """Twisted looks for the child of a late resource after a loss, but does not render it."""
        looked: list[bytes] = []
        test = self

        class Late(Resource):
            def getChild(self, path: bytes, request: Request) -> Resource:
                looked.append(path)
                return Page(test.render)

        connection = self.ask(path=b"/child")
        connection.disconnect()
        self.late.callback(Late())
        self.assertEqual((looked, self.ran), ([b"child"], []))

    def test_a_request_that_is_no_more(self) -> None:
        """A late child that is delivered after its request is gone is not rendered."""
        renders: list[Any] = []

        def render(request: Request) -> bytes:
            renders.append(request.render)
            return b"page"

        connect(CancellingResource(Page(render))).get()
        gc.collect()
        renders[0](Page(self.render))
        self.assertEqual(self.ran, [])

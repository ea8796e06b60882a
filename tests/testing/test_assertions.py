"""The assertions of the test kit pass where they should, and else say what was found."""

import gc
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock, deferLater
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, cancel_on_disconnect, current_scope
from cancelweb.testing import Client, assert_no_leaks, assert_not_cancelled, assert_stopped

from .._pages import Handler, Page
from .._work import Errand


class AssertionTests(SynchronousTestCase):
    """Assertions about handlers that are as they should be, and about others."""

    def setUp(self) -> None:
        """Make a clock."""
        self.clock = Clock()

    def visit(self, handler: Handler, **options: Any) -> Client:
        """A client that has asked a decorated handler."""
        return self.plain(cancel_on_disconnect(**options)(handler))

    def plain(self, handler: Handler) -> Client:
        """A client that has asked any handler."""
        self.client = Client(Page(handler), self.clock)
        self.exchange = self.client.get(b"/x")
        return self.client

    def later(self, request: Request) -> Deferred[bytes]:
        """A handler that takes two seconds."""
        return deferLater(self.clock, 2, lambda: b"late")

    def told(self, assertion: Any, argument: Any) -> str:
        """The message with which an assertion fails."""
        return str(self.assertRaises(AssertionError, assertion, argument))

    def test_without_watching(self) -> None:
        """A client with watch=False leaves its requests as they are; assertions refuse it."""
        requests: list[ref[Request]] = []
        kinds: list[type] = []

        def handler(request: Request) -> Deferred[bytes]:
            requests.append(ref(request))
            kinds.append(type(request))
            return Deferred(lambda _: None)

        page = Page(cancel_on_disconnect(handler))
        client = Client(page, self.clock, watch=False)
        exchange, stream = client.get(), client.connect_http2().get()
        self.assertEqual(kinds, [Request, Request])
        for each in exchange, stream:
            self.assertEqual((each.request, each.outcome), (None, None))
            for assertion in assert_stopped, assert_not_cancelled:
                error = self.assertRaises(ValueError, assertion, each)
                self.assertIn("watch=False", str(error))
            each.disconnect()
        self.assertRaises(ValueError, assert_no_leaks, client)
        self.assertEqual([each() for each in requests], [None, None])

    def test_stopped(self) -> None:
        """A handler that was stopped passes `assert_stopped` and `assert_no_leaks`."""
        self.visit(self.later)
        self.exchange.disconnect()
        assert_stopped(self.exchange)
        assert_no_leaks(self.client)
        self.assertIn(
            "was cancelled: the client disc", self.told(assert_not_cancelled, self.exchange)
        )

    def test_still_runs(self) -> None:
        """A handler that still runs is reported as not stopped, and its scope as open."""
        self.visit(self.later)
        assert_not_cancelled(self.exchange)
        self.assertIn(
            "GET /x was not stopped: it still runs", self.told(assert_stopped, self.exchange)
        )
        leaks = self.told(assert_no_leaks, self.client)
        self.assertIn("open: <Scope of <Request", leaks)
        self.assertIn("on the clock: Deferred.callback, due in 2 s", leaks)

    def test_completed(self) -> None:
        """A completed handler is reported as not stopped, even if work beside it was."""

        def handler(request: Request) -> Deferred[bytes]:
            current_scope().track(Errand())
            return self.later(request)

        for each, text in (
            (self.later, "it was not cancelled; its work completed"),
            (handler, "its work completed; leftover work asked to stop: 1"),
        ):
            self.visit(each)
            self.exchange.advance(2)
            told = self.told(assert_stopped, self.exchange)
            self.assertIn(text, told)
            self.assertIn("answered with 200", told)
        self.exchange.disconnect()
        assert_no_leaks(self.client)

    def test_survived(self) -> None:
        """Work that survived is reported as not stopped."""
        self.visit(lambda request: Errand(obedient=False))
        self.exchange.disconnect()
        self.exchange.advance(5)
        self.assertIn("its work survived", self.told(assert_stopped, self.exchange))

    def test_failed(self) -> None:
        """A handler that failed is reported as not stopped, and its failure as logged."""
        self.visit(lambda request: fail(ValueError("mine")))
        self.assertIn("failed, with ValueError('mine')", self.told(assert_stopped, self.exchange))
        self.exchange.disconnect()
        self.assertIn("logged: ValueError: mine", self.told(assert_no_leaks, self.client))
        self.flushLoggedErrors(ValueError)

    def test_plain(self) -> None:
        """A plain handler counts as stopped when it has left nothing on the clock."""

        def handler(request: Request) -> int:
            call = self.clock.callLater(5, request.finish)
            if b"polite" in request.args:
                request.notifyFinish().addErrback(lambda _: call.cancel())
            return NOT_DONE_YET

        client = self.plain(handler)
        self.exchange.disconnect()
        told = self.told(assert_stopped, self.exchange)
        self.assertIn("still on the clock: Request.finish, due in 5 s", told)
        assert_not_cancelled(self.exchange)
        self.clock.getDelayedCalls()[0].cancel()
        polite = client.get(b"/?polite=1")
        polite.disconnect()
        assert_stopped(polite)
        assert_no_leaks(client)

    def test_not_read(self) -> None:
        """A request that waits behind another on its connection is reported as not stopped."""
        connection = self.visit(self.later).connect()
        connection.get()
        behind = connection.get()
        self.assertIn("has not read", self.told(assert_stopped, behind))
        assert_not_cancelled(behind)

    def test_what_was_there_before(self) -> None:
        """Calls that were on the clock before the client was made are not reported as leaks."""
        self.clock.callLater(5, self.fail)
        self.visit(self.later)
        self.exchange.disconnect()
        assert_no_leaks(self.client)

    def test_not_cancelled_though_it_would_have_been(self) -> None:
        """A POST in a wrapper whose client leaves passes `assert_not_cancelled`."""
        client = Client(CancellingResource(Page(self.later)), self.clock)
        exchange = client.post(b"/", b"data")
        exchange.disconnect()
        assert_not_cancelled(exchange)
        exchange.advance(2)
        assert_no_leaks(client)

    def test_other_logs(self) -> None:
        """An error that cancelweb itself logs is reported as a leak."""
        self.visit(self.later, on_exit=lambda scope: Deferred(), cleanup_timeout=1)
        self.exchange.disconnect()
        self.exchange.advance(1)
        self.assertIn(
            "still runs, and the cleanup_timeout of 1 s is used up",
            self.told(assert_no_leaks, self.client),
        )

    def test_what_is_logged_is_not_kept(self) -> None:
        """A client keeps no object alive that is logged, but reports the failure."""
        client = self.visit(self.later)
        things = [Errand(), Errand()]
        left = [ref(each) for each in things]
        Logger().info("it came", thing=things[0])
        try:
            raise ValueError(things[1])
        except ValueError:
            Logger().failure("it failed", thing=things[1])
        self.flushLoggedErrors(ValueError)
        things.clear()
        gc.collect()
        self.assertEqual([each() for each in left], [None, None])
        self.assertIn("logged: ValueError", self.told(assert_no_leaks, client))

"""Listeners and requests that raise where Twisted reports the end of a request.

What belongs here: listeners to `notifyFinish` that break Twisted's loop over them, and requests of
the user's own class whose `finish()` fails. What does not: reports that are lost because of a
neighbour (`test_lost_reports`).
"""

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

from attrs import frozen
from twisted.internet.defer import AlreadyCalledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request, Site

from cancelweb import CancellingResource, Disconnected, Outcome, Scope, TimedOut, current_scope
from cancelweb.monitor import Monitor

from .._pages import PAGE, Handler, Page
from .._visits import connect
from .._work import Errand
from ..scopes._tracking import finish


class ListenerError(Exception):
    """What a listener raises."""


@frozen(eq=False)
class Raising:
    """A listener of which Twisted only demands that it has these methods."""

    error: BaseException

    def callback(self, _: object) -> None:
        """The request is finished."""
        raise self.error

    def errback(self, _: object) -> None:
        """It is lost."""
        raise self.error


def fire_by_hand(request: Any) -> None:
    """A common mistake: the code that waits for the end brings it about itself."""
    request.notifyFinish().callback(None)


def listen_with(error: BaseException) -> Callable[[Any], None]:
    """Have something listen that raises."""

    def listen(request: Any) -> None:
        request.notifications.append(Raising(error))

    return listen


LISTENERS: list[Callable[[Any], None]] = [
    fire_by_hand,
    listen_with(ListenerError()),
    listen_with(SystemExit()),
    listen_with(KeyboardInterrupt()),
]
RAISED = (AlreadyCalledError, ListenerError, SystemExit, KeyboardInterrupt)


class BrokenTestCase(SynchronousTestCase):
    """A page that waits for work which stops when it is asked."""

    request: Any
    scope: Scope

    def setUp(self) -> None:
        """What an error page's Deferred keeps may be logged late, after this test."""
        self.addCleanup(self.flushLoggedErrors, FinishError, SystemExit)
        self.addCleanup(gc.collect)

    def visit(
        self, factory: type[Request] = Request, handler: Handler | None = None, **options: Any
    ) -> None:
        """Ask for the page."""
        self.clock, self.work, self.ran = Clock(), Errand(), list[str]()
        self.monitor, self.outcomes = Monitor(self.clock), list[Outcome]()

        def noting(request: Request) -> object:
            self.request, self.scope = request, current_scope()
            return self.work if handler is None else handler(request)

        root: Any = CancellingResource(
            Page(noting),
            monitor=self.monitor,
            observers=self.outcomes.append,
            on_exit=lambda _: self.ran.append("exit"),
            **options,
        )
        site: Any = Site(root, reactor=self.clock)
        site.requestFactory = factory
        self.client = connect(site, self.clock)
        self.client.get()

    def assert_closed(self) -> Outcome:
        """The scope has closed, its hook was run and its observer told, each once."""
        self.assertEqual(self.monitor.scopes, ())
        self.assertIs(self.scope.request, None)
        self.assertEqual((self.ran, len(self.outcomes)), (["exit"], 1))
        return self.outcomes[0]

    def assert_drained(self) -> None:
        """A drain ends, and nothing more is told."""
        done: list[None] = []
        with contextlib.suppress(*RAISED):
            self.client.disconnect()
        self.monitor.drain(1).addCallback(done.append)
        self.clock.pump([1] * 30)
        self.assertEqual((done, self.ran, len(self.outcomes)), ([None], ["exit"], 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ListenerTests(BrokenTestCase):
    """A listener that raises, so that Twisted tells none of those behind it."""

    def each(self, **options: Any) -> Iterator[None]:
        """Visit a page beside each such listener, there before ours or after it."""
        for listen in LISTENERS:
            for is_first in (True, False):

                def handler(_: Request, listen: Any = listen, is_first: bool = is_first) -> Any:
                    if is_first:
                        listen(self.request)
                    return self.work

                self.visit(handler=handler, **options)
                if not is_first:
                    listen(self.request)
                yield

    def test_when_it_is_finished(self) -> None:
        """When the response is sent, the scope closes, and the error is logged once."""
        for _ in self.each():
            self.work.end(PAGE)
            self.assertEqual(self.client.response.body, PAGE)
            self.assertIs(self.assert_closed().cause, None)
            self.assertEqual(len(self.flushLoggedErrors(*RAISED)), 1)
            self.assert_drained()

    def test_when_the_handler_finishes_it(self) -> None:
        """When the handler finishes it, the scope closes by the end of its work."""
        for _ in self.each():
            with contextlib.suppress(*RAISED):
                finish(self.request)
            self.work.end()
            self.assertIs(self.assert_closed().cause, None)
            self.assert_drained()

    def test_when_the_client_leaves(self) -> None:
        """When the client leaves, the work is stopped; in a drain, if the loss is not reported."""
        for _ in self.each():
            with contextlib.suppress(*RAISED):
                self.client.disconnect()
            if self.scope.request is not None:
                self.monitor.drain(0)
            self.clock.advance(0)
            self.assertEqual(self.work.asked, [""])
            self.assertIsInstance(self.assert_closed().cause, Disconnected)
            self.assert_drained()

    def test_when_the_client_has_left_unreported(self) -> None:
        """A loss that nothing has reported is seen by the deadline, or when the work ends."""
        for seconds in (5, 0):

            def handler(_: Request) -> Errand:
                fire_by_hand(self.request)
                return self.work

            self.visit(handler=handler, timeout=5)
            with contextlib.suppress(*RAISED):
                self.client.disconnect()
            self.assertEqual(self.outcomes, [])
            if not seconds:
                self.work.end(PAGE)
            self.clock.advance(seconds)
            self.assertIsInstance(self.assert_closed().cause, Disconnected)
            self.assert_drained()

    def test_when_the_client_leaves_during_a_drain(self) -> None:
        """A loss that nothing has reported is the cause, and not the drain that ends."""

        def handler(_: Request) -> Errand:
            fire_by_hand(self.request)
            return self.work

        self.visit(handler=handler)
        self.monitor.drain(5)
        with contextlib.suppress(*RAISED):
            self.client.disconnect()
        self.clock.advance(5)
        self.assertIsInstance(self.assert_closed().cause, Disconnected)

    def test_when_it_times_out(self) -> None:
        """At the deadline the client is answered, and the error is logged, not raised."""
        for _ in self.each(timeout=5):
            self.clock.advance(5)
            self.assertEqual(self.client.response.code, 503)
            self.assertEqual(self.work.asked, [""])
            self.assertIsInstance(self.assert_closed().cause, TimedOut)
            self.assertEqual(len(self.flushLoggedErrors(*RAISED)), 1)
            self.assert_drained()


class FinishError(Exception):
    """What a request of the user's own class raises."""


class Early(Request):
    """It fails before it is finished."""

    def finish(self) -> None:
        """Raise."""
        raise FinishError


class Half(Request):
    """It fails when it counts as finished, but its listeners were not told."""

    def finish(self) -> None:
        """Set what tells so, and raise."""
        self.finished = 1
        raise FinishError


class Late(Request):
    """It fails when it has been finished."""

    def finish(self) -> None:
        """Finish, and raise."""
        super().finish()
        raise FinishError


class Exiting(Request):
    """The same, but with what is no Exception."""

    def finish(self) -> None:
        """Finish, and raise."""
        super().finish()
        raise SystemExit


class FinishTests(BrokenTestCase):
    """A request whose `finish()` raises."""

    def test_that_is_finished(self) -> None:
        """Where it counts as finished, the scope closes as soon as the response is sent."""
        for factory in (Half, Late, Exiting):
            self.visit(factory)
            self.work.end(PAGE)
            self.assertIs(self.assert_closed().cause, None)
            self.assertEqual(len(self.flushLoggedErrors(FinishError, SystemExit)), 1)
            self.assert_drained()

    def test_that_is_not(self) -> None:
        """Where it does not, the connection is aborted, and the scope closes with that."""
        self.visit(Early)
        self.work.end(PAGE)
        self.clock.advance(0)
        self.assertTrue(self.client.is_aborted)
        self.assert_closed()
        self.assertEqual(len(self.flushLoggedErrors(FinishError)), 1)
        self.assert_drained()

    def test_at_the_deadline(self) -> None:
        """So it is for the page of a deadline; the work is stopped, and the cause is that."""
        for factory in (Early, Half, Late, Exiting):
            self.visit(factory, timeout=5)
            self.clock.pump([5, 0])
            self.assertEqual(self.work.asked, [""])
            self.assertIsInstance(self.assert_closed().cause, TimedOut)
            self.assertEqual(self.client.is_aborted, factory is Early)
            self.assertEqual(len(self.flushLoggedErrors(FinishError, SystemExit)), 1)
            self.assert_drained()

    def test_by_the_handler(self) -> None:
        """Where the handler has finished it, no later loss counts as a disconnect."""
        for factory in (Half, Late, Exiting):
            self.visit(factory, lambda _: NOT_DONE_YET)
            self.request.write(PAGE)
            with contextlib.suppress(FinishError, SystemExit):
                self.request.finish()
            self.client.disconnect()
            self.assertIs(self.assert_closed().cause, None)
            self.assert_drained()

    def test_of_bytes(self) -> None:
        """Where the handler has returned bytes, the scope closes when these are handed over."""
        for factory in (Early, Half, Late, Exiting):
            with contextlib.suppress(FinishError, SystemExit, RuntimeError):
                self.visit(factory, lambda _: PAGE)
            self.assertIs(self.assert_closed().cause, None)
            self.assert_drained()
            self.flushLoggedErrors(FinishError, SystemExit)

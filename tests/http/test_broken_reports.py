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
    """A listener that raises; of a listener, Twisted only needs `callback` and `errback`."""

    error: BaseException

    def callback(self, _: object) -> None:
        """The request is finished."""
        raise self.error

    def errback(self, _: object) -> None:
        """The request is lost."""
        raise self.error


def fire_by_hand(request: Any) -> None:
    """A common mistake: fire the Deferred of `notifyFinish` by hand."""
    request.notifyFinish().callback(None)


def listen_with(error: BaseException) -> Callable[[Any], None]:
    """A function that adds a listener which raises this error."""

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
        """Collect garbage at the end: an error page's Deferred may log an error when freed."""
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
        self.connection = connect(site, self.clock)
        self.connection.get()

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
            self.connection.disconnect()
        self.monitor.drain(1).addCallback(done.append)
        self.clock.pump([1] * 30)
        self.assertEqual((done, self.ran, len(self.outcomes)), ([None], ["exit"], 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ListenerTests(BrokenTestCase):
    """A listener that raises, so that Twisted does not tell the listeners after it."""

    def each(self, **options: Any) -> Iterator[None]:
        """Visit a page with each raising listener, before cancelweb's listener and after it."""
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
        """If a listener raises when the page is sent, the scope closes, and one error is logged."""
        for _ in self.each():
            self.work.end(PAGE)
            self.assertEqual(self.connection.response.body, PAGE)
            self.assertIs(self.assert_closed().cause, None)
            self.assertEqual(len(self.flushLoggedErrors(*RAISED)), 1)
            self.assert_drained()

    def test_when_the_handler_finishes_it(self) -> None:
        """If a listener raises when the handler finishes, the scope closes when its work ends."""
        for _ in self.each():
            with contextlib.suppress(*RAISED):
                finish(self.request)
            self.work.end()
            self.assertIs(self.assert_closed().cause, None)
            self.assert_drained()

    def test_when_the_client_leaves(self) -> None:
        """If a listener raises at a disconnect, the work stops, at the latest with a drain."""
        for _ in self.each():
            with contextlib.suppress(*RAISED):
                self.connection.disconnect()
            if self.scope.request is not None:
                self.monitor.drain(0)
            self.clock.advance(0)
            self.assertEqual(self.work.asked, [""])
            self.assertIsInstance(self.assert_closed().cause, Disconnected)
            self.assert_drained()

    def test_when_the_client_has_left_unreported(self) -> None:
        """A loss that Twisted never reports is found at the deadline, or when the work ends."""
        for seconds in (5, 0):

            def handler(_: Request) -> Errand:
                fire_by_hand(self.request)
                return self.work

            self.visit(handler=handler, timeout=5)
            with contextlib.suppress(*RAISED):
                self.connection.disconnect()
            self.assertEqual(self.outcomes, [])
            if not seconds:
                self.work.end(PAGE)
            self.clock.advance(seconds)
            self.assertIsInstance(self.assert_closed().cause, Disconnected)
            self.assert_drained()

    def test_when_the_client_leaves_during_a_drain(self) -> None:
        """A loss that Twisted never reports is the cause, not the drain that runs out of time."""

        def handler(_: Request) -> Errand:
            fire_by_hand(self.request)
            return self.work

        self.visit(handler=handler)
        self.monitor.drain(5)
        with contextlib.suppress(*RAISED):
            self.connection.disconnect()
        self.clock.advance(5)
        self.assertIsInstance(self.assert_closed().cause, Disconnected)

    def test_when_it_times_out(self) -> None:
        """If a listener raises at the deadline, the error is logged, and the client gets a 503."""
        for _ in self.each(timeout=5):
            self.clock.advance(5)
            self.assertEqual(self.connection.response.code, 503)
            self.assertEqual(self.work.asked, [""])
            self.assertIsInstance(self.assert_closed().cause, TimedOut)
            self.assertEqual(len(self.flushLoggedErrors(*RAISED)), 1)
            self.assert_drained()


class FinishError(Exception):
    """What a request of the user's own class raises."""


class Early(Request):
    """A request whose `finish` raises before it has finished anything."""

    def finish(self) -> None:
        """Raise."""
        raise FinishError


class Half(Request):
    """A request whose `finish` sets `finished` and raises, but tells no listener."""

    def finish(self) -> None:
        """Set `finished`, and raise."""
        self.finished = 1
        raise FinishError


class Late(Request):
    """A request whose `finish` raises after it has finished the response."""

    def finish(self) -> None:
        """Finish, and raise."""
        super().finish()
        raise FinishError


class Exiting(Request):
    """A request whose `finish` raises SystemExit after it has finished the response."""

    def finish(self) -> None:
        """Finish, and raise."""
        super().finish()
        raise SystemExit


class FinishTests(BrokenTestCase):
    """A request whose `finish()` raises."""

    def test_that_is_finished(self) -> None:
        """If `finish` raises but has set `finished`, the scope closes when the page is sent."""
        for factory in (Half, Late, Exiting):
            self.visit(factory)
            self.work.end(PAGE)
            self.assertIs(self.assert_closed().cause, None)
            self.assertEqual(len(self.flushLoggedErrors(FinishError, SystemExit)), 1)
            self.assert_drained()

    def test_that_is_not(self) -> None:
        """If `finish` raises and has not set `finished`, the connection is aborted."""
        self.visit(Early)
        self.work.end(PAGE)
        self.clock.advance(0)
        self.assertTrue(self.connection.is_aborted)
        self.assert_closed()
        self.assertEqual(len(self.flushLoggedErrors(FinishError)), 1)
        self.assert_drained()

    def test_at_the_deadline(self) -> None:
        """If `finish` raises at the deadline, the work stops, and the cause is the deadline."""
        for factory in (Early, Half, Late, Exiting):
            self.visit(factory, timeout=5)
            self.clock.pump([5, 0])
            self.assertEqual(self.work.asked, [""])
            self.assertIsInstance(self.assert_closed().cause, TimedOut)
            self.assertEqual(self.connection.is_aborted, factory is Early)
            self.assertEqual(len(self.flushLoggedErrors(FinishError, SystemExit)), 1)
            self.assert_drained()

    def test_by_the_handler(self) -> None:
        """If `finish` raises when the handler calls it, a later loss is not a disconnect."""
        for factory in (Half, Late, Exiting):
            self.visit(factory, lambda _: NOT_DONE_YET)
            self.request.write(PAGE)
            with contextlib.suppress(FinishError, SystemExit):
                self.request.finish()
            self.connection.disconnect()
            self.assertIs(self.assert_closed().cause, None)
            self.assert_drained()

    def test_of_bytes(self) -> None:
        """If `finish` raises when Twisted sends the handler's bytes, the scope closes."""
        for factory in (Early, Half, Late, Exiting):
            with contextlib.suppress(FinishError, SystemExit, RuntimeError):
                self.visit(factory, lambda _: PAGE)
            self.assertIs(self.assert_closed().cause, None)
            self.assert_drained()
            self.flushLoggedErrors(FinishError, SystemExit)

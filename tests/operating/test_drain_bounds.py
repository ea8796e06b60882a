"""Drains that would wait without a bound: each step has one.

What belongs here: what Twisted or users' code never ends, in memory. What does not: sockets
(`real.system.test_drain`), and drains that wait as long as they promise (`test_drain_end`).
"""

from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent
from twisted.web.util import DeferredResource
from zope.interface import directlyProvides

from cancelweb import CancellingResource
from cancelweb._operating.draining import CLOSE, MARGIN
from cancelweb._operating.exiting import ExitLimit
from cancelweb.monitor import Monitor

from .._logs import log_events, of_cancelweb
from .._pages import Page, waiting
from .._visits import connect
from .._work import Errand
from ._drains import DrainTestCase


class ScopesTests(DrainTestCase):
    """Scopes that do not close."""

    def test_that_is_never_told_of_its_end(self) -> None:
        """A scope that stays open beyond its own limits is logged, and the drain goes on."""
        events = log_events(self)
        # The limits of this scope are measured by a clock that stands still.
        connection = self.connection(lambda _: Errand(obedient=False), clock=Clock())
        connection.get()
        done = self.drain(1)
        self.advance(1, 5 + 10 + MARGIN - 0.1)
        self.assertEqual(done, [])
        self.advance(0.1)
        self.assertEqual((done, len(self.monitor.scopes)), ([None], 1))
        (event,) = of_cancelweb(events, LogLevel.warn)
        self.assertRegex(str(formatEvent(event)), "is still open after the drain$")

    def test_with_longer_limits(self) -> None:
        """A drain gives each scope the time that its own options, and its work, allow."""
        options: Any = {"survivor_after": 30, "cleanup_timeout": 40, "clock": Clock()}
        self.connection(lambda _: Errand(obedient=False), **options).get()
        done = self.drain(1)
        self.advance(1, 70 + MARGIN - 0.1)
        self.assertEqual(done, [])
        self.advance(0.1)
        self.assertEqual(done, [None])

    def test_that_opens_after_the_cancel(self) -> None:
        """A request that is rendered after all others were cancelled is cancelled, too."""
        cleaned: Deferred[None] = Deferred()
        hooked = self.connection(waiting, on_exit=lambda _: cleaned)
        hooked.get()
        errand, found = Errand(), Deferred[Any]()
        root: Any = CancellingResource(DeferredResource(found), monitor=self.monitor)
        # The handler of a POST runs even if its client has left.
        late = connect(root, self.clock)
        late.post(b"/", b"")
        late.disconnect()
        done = self.drain(1)
        self.advance(1)
        found.callback(Page(lambda _: errand))
        self.assertEqual((errand.asked, done), ([], []))
        cleaned.callback(None)
        self.advance(0)
        self.assertEqual((errand.asked, done, self.monitor.scopes), ([""], [None], ()))

    def test_that_cannot_be_looked_at(self) -> None:
        """A request that raises when it is looked at does not keep the others from the drain."""

        class Odd:
            @property
            def startedWriting(self) -> NoReturn:
                raise RuntimeError("odd")

        odd, other = self.connection(lambda _: Errand()), self.connection(waiting)
        odd.get()
        other.get()
        odd_scope: Any = self.monitor.scopes[0]
        request, odd_scope._request = odd_scope.request, Odd()
        self.drain(1)
        odd_scope._request = request
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.advance(1)
        self.assertEqual(other.response.code, 503)


class FailingTests(DrainTestCase):
    """A step that fails."""

    def test_ends_the_drain(self) -> None:
        """A drain that fails in the middle is over, so that the reactor can stop."""

        def fail() -> NoReturn:
            raise RuntimeError("no readers")

        clock: Any = self.clock
        directlyProvides(clock, IReactorFDSet, *type(clock).__mro__[:0])
        clock.getReaders = clock.getWriters = fail
        done: list[None] = []
        Monitor(clock).drain(0).addCallback(done.append)
        self.advance(0)
        self.assertEqual(done, [None])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class ExitTests(DrainTestCase):
    """How long the process may take to exit, at each step of a drain."""

    def setUp(self) -> None:
        """Have limits only noted."""
        super().setUp()
        self.limits: list[float] = []
        self.patch(ExitLimit, "within", lambda _, seconds: self.limits.append(seconds))

    def test_of_a_drain_that_ends_early(self) -> None:
        """The limit is that of delay, drain and exit together, and shorter after an early end."""
        self.monitor.drain(30, delay=10, exit_after=5, close=lambda: None)
        self.assertEqual(self.limits, [10 + 30 + 5 + CLOSE])
        self.advance(10)
        self.assertEqual(self.limits[1:], [30 + 5, 5])

    def test_of_a_drain_that_takes_its_time(self) -> None:
        """What hooks take of the exit's seconds after the drain is not given again."""
        self.connection(waiting, on_exit=lambda _: Deferred(), cleanup_timeout=3).get()
        self.monitor.drain(30, exit_after=5)
        self.advance(30, 3, 1)
        self.assertEqual(self.limits, [35 + CLOSE, 35])

    def test_of_a_drain_that_is_over(self) -> None:
        """A call after the drain limits the exit from then on; a further call does not."""
        self.drain(0)
        self.advance(100)
        self.assertEqual(self.limits, [])
        for seconds in 5, 7:
            self.monitor.drain(30, exit_after=seconds)
        self.assertEqual(self.limits, [5])

"""The log in a burst: the first requests of a second have a line each, and the rest is counted.

What the line of one request tells is for `test_logging`, and that of a second for
`test_log_bursts_counted`.
"""

import gc
import subprocess
import sys
from contextvars import copy_context
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent
from twisted.python import threadable
from zope.interface import implementer

from cancelweb import Cause, Outcome, cancel_on_disconnect, current_scope, log_outcome
from cancelweb._scopes import bursts
from cancelweb.monitor import Monitor
from cancelweb.testing import Client, assert_no_leaks

from .._pages import Page, waiting
from ._bursts import FIRST, LEFT, BurstTestCase


class SecondTests(BurstTestCase):
    """When a request has a line of its own, and when it is counted."""

    def test_first_have_a_line_each(self) -> None:
        """The first ten requests of a second are logged one by one, and need no timer."""
        self.leave(FIRST)
        self.assertEqual(self.lines(), [f"GET /page: stopped after 0.000 s: {LEFT}"] * 10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rest_is_one_line(self) -> None:
        """The further requests of a second are counted in one line at its end."""
        self.leave(6)
        self.clock.advance(0.5)
        self.leave(2000)
        self.clock.advance(0.375)
        self.assertEqual(len(self.lines()), FIRST)
        self.clock.advance(0.125)
        (event,) = self.taken()
        self.assertEqual(event["log_level"].name, "info")
        self.assertEqual(
            formatEvent(event),
            f"1,996 more requests were cancelled in 1.0 s: stopped: {LEFT}: 1,996 GET /page",
        )

    def test_one_line_a_second(self) -> None:
        """While a burst goes on, all requests of a second are counted in one line."""
        self.leave(FIRST)
        for number in (FIRST + 1, FIRST + 5, FIRST):
            self.leave(number)
            self.assertIn(f" {number} GET /page", self.counted())

    def test_ends_with_a_calm_second(self) -> None:
        """After a second of no more than ten requests, each has a line of its own again."""
        self.leave(2 * FIRST + 1)
        self.counted()
        for number in (FIRST, FIRST, 1):
            self.leave(number)
            self.clock.advance(1)
        self.assertEqual(len(self.lines()), 1 + FIRST + 1)

    def test_ends_with_a_quiet_second(self) -> None:
        """After a second without requests, each has a line of its own again."""
        self.leave(2 * FIRST + 1)
        self.counted()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(1)
        self.assertEqual(self.lines(), [])
        self.leave(FIRST)
        self.assertEqual(len(self.lines()), FIRST)

    def test_does_not_begin_with_a_few(self) -> None:
        """After a second of little more than ten requests, each has a line of its own again."""
        self.leave(FIRST + 1)
        self.counted()
        self.leave(FIRST)
        self.assertEqual(len(self.lines()), FIRST)

    def test_each_second_has_its_first(self) -> None:
        """Ten requests a second are never counted."""
        for _ in range(3):
            self.leave(FIRST)
            self.clock.advance(1)
        self.assertEqual(len(self.lines()), 3 * FIRST)

    def test_long_turn(self) -> None:
        """In a turn longer than a second, the line of the second is logged in time, and once."""
        self.leave(2 * FIRST + 5)
        self.taken()
        self.clock.rightNow += 1.5
        self.leave(1)
        (line,) = self.lines()
        self.assertTrue(line.startswith("15 more requests were cancelled in 1.5 s"), line)
        self.clock.advance(0)
        self.assertEqual(self.lines(), [])
        self.assertIn(" 1 GET /page", self.counted())

    def test_clock_set_back(self) -> None:
        """A clock that is set back begins a new second."""
        self.leave(FIRST)
        self.clock.rightNow -= 100
        self.leave(FIRST)
        self.assertEqual(len(self.lines()), 2 * FIRST)

    def test_clock_set_back_in_a_burst(self) -> None:
        """Requests that were counted before a clock is set back are logged."""
        self.leave(2 * FIRST + 5)
        self.taken()
        self.clock.rightNow -= 100
        self.leave(1)
        (line,) = self.lines()
        self.assertTrue(line.startswith("15 more requests were cancelled in 0.0 s"), line)


class ObserverTests(BurstTestCase):
    """`log_outcome` as the default, beside other observers, and called by other code."""

    def test_others_are_told_of_each(self) -> None:
        """Other observers are told about every request in a burst."""
        told: list[Outcome] = []
        self.leave(50, observers=[log_outcome, told.append])
        self.assertEqual((len(told), len(self.lines())), (50, FIRST))
        self.clock.advance(1)
        self.assertIn("40 more requests", self.lines()[0])

    def test_is_the_default(self) -> None:
        """`log_outcome` that is given by name counts together with the default log."""
        self.leave(FIRST)
        self.leave(3, observers=log_outcome)
        self.leave(2)
        self.assertIn("5 more requests", self.counted())

    def have_reactor(self, *, is_running: bool, thread: int | None) -> MemoryReactorClock:
        """Have a global reactor, whose thread this may be."""
        reactor = MemoryReactorClock()
        reactor.running = is_running
        self.patch(bursts, "global_reactor", lambda: reactor)
        self.patch(threadable, "ioThread", thread)
        return reactor

    def test_called_directly(self) -> None:
        """`log_outcome` counts on the running reactor if a user's own observer calls it."""
        reactor = self.have_reactor(is_running=True, thread=threadable.getThreadID())
        self.leave(FIRST + 5, observers=lambda told: log_outcome(told))
        self.assertEqual(len(self.lines()), FIRST)
        reactor.advance(1)
        self.assertIn("5 more requests", self.lines()[0])

    def test_called_in_a_thread(self) -> None:
        """`log_outcome` logs each request in another thread, where no timer can be made."""
        self.have_reactor(is_running=True, thread=None)
        self.leave(FIRST + 5, observers=lambda told: log_outcome(told))
        self.assertEqual(len(self.lines()), FIRST + 5)

    def test_called_without_a_reactor(self) -> None:
        """`log_outcome` logs each request that is worth a line where no reactor runs."""
        self.have_reactor(is_running=False, thread=threadable.getThreadID())
        self.leave(FIRST + 5, observers=lambda told: log_outcome(told))
        self.leave(1, handler=lambda _: b"page", observers=lambda told: log_outcome(told))
        self.assertEqual(len(self.lines()), FIRST + 5)


class ClockTests(BurstTestCase):
    """Each clock has its own log, which keeps nothing alive."""

    def test_are_independent(self) -> None:
        """A burst on one clock leaves the lines of another alone."""
        self.leave(FIRST + 5)
        self.taken()
        burst, self.clock = self.clock, Clock()
        self.leave(FIRST)
        self.assertEqual(len(self.lines()), FIRST)
        burst.advance(1)
        self.assertIn("5 more requests", self.lines()[0])

    def test_dead_clock(self) -> None:
        """A clock that is dropped in the middle of a burst is collected, and so is its log."""
        self.leave(FIRST + 5)
        clock, number = ref(self.clock), id(self.clock)
        self.clock = Clock()
        self.events.clear()
        gc.collect()
        self.assertIsNone(clock())
        self.assertNotIn(number, bursts._LOGS)

    def test_clock_that_cannot_be_hashed(self) -> None:
        """A burst is counted on a clock that is not hashable."""

        class Odd(Clock):
            __hash__ = None  # type: ignore[assignment]

        self.clock = Odd()
        self.leave(FIRST + 5)
        self.assertIn("5 more requests", self.counted())

    def test_clock_that_cannot_be_referred_to_weakly(self) -> None:
        """Each request has its own line on a clock without weak references, which is not kept."""

        @implementer(IReactorTime)
        class Slotted:
            __slots__ = ("_real",)

            def __init__(self, real: Clock) -> None:
                self._real = real

            def seconds(self) -> float:
                return self._real.seconds()

            def callLater(self, *args: Any, **kwargs: Any) -> Any:
                return self._real.callLater(*args, **kwargs)

            def getDelayedCalls(self) -> Any:
                return self._real.getDelayedCalls()

        clock = Slotted(self.clock)
        self.leave(FIRST + 5, clock=clock)
        self.assertEqual(len(self.lines()), FIRST + 5)
        self.assertNotIn(id(clock), bursts._LOGS)

    def test_keeps_no_request(self) -> None:
        """A request that was counted can be collected before the second is over."""
        scopes: list[Any] = []

        class Kicked(Cause):
            """A cause that refers to its request."""

        def handler(request: Any) -> object:
            cause = Kicked()
            object.__setattr__(cause, "request", request)
            scopes.append(ref(request))
            current_scope().cancel(cause)
            return Deferred()

        self.leave(FIRST + 5, handler=handler)
        self.clock.advance(0)
        self.events.clear()
        gc.collect()
        self.assertEqual([each() for each in scopes], [None] * (FIRST + 5))

    def test_timer_has_no_context(self) -> None:
        """The timer is made in no request's context, which a reactor of asyncio would keep."""
        sizes: list[int] = []

        class Noting(Clock):
            def callLater(self, *args: Any, **kwargs: Any) -> Any:
                sizes.append(len(copy_context()))
                return super().callLater(*args, **kwargs)

        self.clock = Noting()
        self.leave(FIRST)
        sizes.clear()
        self.leave(1, handler=waiting)
        self.assertEqual(sizes[-1], 0)

    def test_is_no_leak(self) -> None:
        """`assert_no_leaks` finds nothing left after a burst whose timer still runs."""
        client = Client(Page(cancel_on_disconnect(waiting)), self.clock)
        for _ in range(FIRST + 5):
            client.get().disconnect()
        self.assertNotEqual(self.clock.getDelayedCalls(), [])
        assert_no_leaks(client)


class DrainTests(BurstTestCase):
    """The end of a drain is the end of a burst."""

    def drain(self) -> None:
        """Drain a site in which nothing is under way; takes less than a second."""
        drained = Monitor(self.clock).drain(0)
        self.clock.pump([0.1] * 5)
        self.successResultOf(drained)

    def test_writes_the_counts(self) -> None:
        """Requests that are counted have their line by the end of a drain, and no timer is left."""
        self.leave(FIRST + 2)
        self.assertEqual(len(self.lines()), FIRST)
        self.drain()
        self.assertEqual(len(self.lines()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.leave(1)
        self.assertEqual(len(self.lines()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_that_ends_as_a_second_does(self) -> None:
        """A request after a drain has a line of its own, though the burst went on."""
        self.leave(2 * FIRST + 1)
        self.counted()
        self.drain()
        self.leave(1)
        self.assertEqual(len(self.lines()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_whose_timer_was_cancelled(self) -> None:
        """A drain writes the counts even if other code has cancelled the timer."""
        self.leave(FIRST + 2)
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.taken()
        self.drain()
        self.assertEqual(len(self.lines()), 1)

    def test_without_a_burst(self) -> None:
        """A drain writes nothing if nothing is counted."""
        self.drain()
        self.assertEqual(self.lines(), [])


class ShutdownTests(BurstTestCase):
    """A reactor that stops before the second is over."""

    def setUp(self) -> None:
        """Have a clock that has shutdown triggers."""
        super().setUp()
        self.clock = self.reactor = MemoryReactorClock()

    def shut_down(self) -> None:
        """Fire the triggers, each once."""
        triggers = self.reactor.triggers.get("after", {}).get("shutdown", [])
        while triggers:
            function, args, kwargs = triggers.pop(0)
            function(*args, **kwargs)

    def test_writes_the_count(self) -> None:
        """Requests that were counted are logged when the reactor stops, and not twice."""
        self.leave(FIRST + 5)
        self.taken()
        self.clock.rightNow += 0.25
        self.shut_down()
        (line,) = self.lines()
        self.assertTrue(line.startswith("5 more requests were cancelled in 0.2 s"), line)
        self.clock.advance(1)
        self.assertEqual(self.lines(), [])

    def test_nothing_to_write(self) -> None:
        """A burst that is over leaves nothing to log when the reactor stops."""
        self.leave(FIRST + 5)
        self.clock.advance(1)
        self.taken()
        self.shut_down()
        self.assertEqual(self.lines(), [])

    def test_one_trigger(self) -> None:
        """Several bursts need one trigger, and quiet traffic none."""
        self.leave(FIRST)
        self.assertEqual(self.reactor.triggers, {})
        for _ in range(3):
            self.leave(5)
            self.clock.advance(1)
        self.assertEqual(len(self.reactor.triggers["after"]["shutdown"]), 1)

    def test_counted_even_later(self) -> None:
        """Requests that are counted in a later trigger of the shutdown are logged, too."""
        self.leave(2 * FIRST + 5)
        self.taken()
        self.reactor.triggers["after"]["shutdown"].append((self.leave, (7,), {}))
        self.shut_down()
        first, second = self.lines()
        self.assertTrue(first.startswith("15 more"), first)
        self.assertTrue(second.startswith("7 more"), second)

    def test_real_reactor(self) -> None:
        """A server that stops in a storm, its connections closed by Twisted, logs the count."""
        done = subprocess.run(
            [sys.executable, "-c", STOPPING], capture_output=True, text=True, timeout=30
        )
        self.assertEqual(done.stdout.count("GET /page: stopped"), FIRST, done)
        self.assertEqual(done.stdout.count("20 more requests were cancelled"), 1, done)


STOPPING = r"""
import socket, sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.web.resource import Resource
from twisted.web.server import Site
from cancelweb import cancel_on_disconnect
from cancelweb._scopes import bursts

bursts.FIRST = 10

class Page(Resource):
    isLeaf = True
    count = 0

    @cancel_on_disconnect
    def render_GET(self, request):
        self.count += 1
        if self.count == 30:
            reactor.stop()
        return Deferred()

globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])
port = reactor.listenTCP(0, Site(Page()), interface="127.0.0.1")
clients = [socket.create_connection(("127.0.0.1", port.getHost().port)) for _ in range(30)]
for client in clients:
    client.sendall(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
reactor.run()
"""

"""What is told about survivors, and when; `kinds.test_where` shows where they wait.

What belongs here: the report and the monitor's list. What does not: which work is a survivor, and
what becomes of its scope (`test_survivors`).
"""

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent
from twisted.web.server import Request

from cancelweb import Disconnected

from .._cycles import Memory
from .._logs import log_events, of_cancelweb
from .._work import Errand
from ._survivors import ReportTestCase


class SurvivorTests(ReportTestCase):
    """The log and the monitor report a survivor."""

    def test_is_known_to_the_monitor_until_it_ends(self) -> None:
        """The monitor lists a survivor after its scope has closed, until the survivor ends."""
        errand = Errand(obedient=False)
        self.clock.advance(3)
        self.leave(lambda _: errand, path=b"/slow%20page?secret")
        (survivor,) = self.monitor.survivors
        self.assertEqual(self.monitor.scopes, ())
        self.assertEqual((survivor.method, survivor.path), (b"GET", b"/slow%20page"))
        self.assertIsInstance(survivor.cause, Disconnected)
        self.assertEqual(survivor.since, 3.0)
        self.assertEqual(survivor.where, "tests._work.Errand")
        errand.end()
        self.assertEqual(self.monitor.survivors, ())

    def test_is_logged_once_and_when_it_ends(self) -> None:
        """A survivor is logged once, and again when it ends, with how long that took."""
        errand = Errand(obedient=False)
        (first,) = self.leave(lambda _: errand)
        self.clock.advance(60)
        events = log_events(self)
        errand.end()
        (last,) = of_cancelweb(events)
        self.assertEqual((first["log_level"].name, last["log_level"].name), ("warn", "info"))
        self.assertEqual(first["where"], "tests._work.Errand")
        self.assertEqual(
            formatEvent(last), "work of GET / has ended, 65.0 s after it was asked to stop"
        )
        self.assertIs(first["survivor"], last["survivor"])

    def test_that_ends_before_its_scope_closes(self) -> None:
        """The monitor forgets survivors that end while their scope still waits for a hook."""
        first, second = Errand(obedient=False), Errand(obedient=False)
        handled: list[Request] = []

        def handler(request: Request) -> Errand:
            scope = self.monitor.scopes[0]
            scope.track(second)
            scope.on_exit(lambda _: Deferred())
            handled.append(request)
            return first

        self.leave(handler)
        self.assertEqual((len(self.monitor.survivors), len(self.monitor.scopes)), (2, 1))
        for each in first, second:
            each.end()
        self.assertEqual((self.monitor.survivors, len(self.monitor.scopes)), ((), 1))

    def test_whose_canceller_fails(self) -> None:
        """The monitor lists work whose canceller failed after five seconds, until it ends."""
        errand = Errand()
        self.patch(errand, "cancel", self.raise_error)
        self.leave(lambda _: errand, 4.9)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.monitor.survivors, ())
        self.clock.advance(0.2)
        self.assertEqual(len(self.monitor.survivors), 1)
        errand.end()
        self.assertEqual(self.monitor.survivors, ())

    def raise_error(self) -> None:
        """A canceller with an error."""
        raise ValueError("a canceller's bug")

    def test_holds_no_request(self) -> None:
        """A survivor that the monitor lists does not keep its request in memory."""
        memory, errand = Memory(), Errand(obedient=False)

        def handler(request: Request) -> Errand:
            memory.note(request)
            return errand

        self.leave(handler)
        self.assertEqual((len(self.monitor.survivors), memory.alive()), (1, []))
        errand.end()

    def test_what_a_client_chose_cannot_forge_a_line(self) -> None:
        """Control characters in the path of a survivor's request are escaped in the log."""
        errand = Errand(obedient=False)

        def handler(request: Request) -> Errand:
            # Twisted refuses it by now, but older ones do not.
            request.uri = b"/\x1b[2J"
            return errand

        (event,) = self.leave(handler)
        self.assertIn("/\\x1b[2J still runs", formatEvent(event))
        errand.end()

"""The line that counts the requests of a second, in a burst: what it tells, and that it is bounded.

When there is such a line is for `test_log_bursts`.
"""

from attrs import evolve
from twisted.logger import formatEvent

from cancelweb import Cause, Disconnected, Ended, TimedOut, log_outcome
from cancelweb._scopes import bursts
from cancelweb._scopes.bursts import log_on
from cancelweb._scopes.tallies import LONGEST, MOST_PATHS, NAMED

from .._pages import raising
from ._bursts import FIRST, LEFT, BurstTestCase, outcome


class LineTests(BurstTestCase):
    """What the line of a second tells."""

    def setUp(self) -> None:
        """Be in a burst."""
        super().setUp()
        self.leave(FIRST)
        self.taken()

    def test_one_request(self) -> None:
        """The line of one request is in the singular."""
        self.leave(1)
        self.assertEqual(
            self.counted(),
            f"1 more request was cancelled in 1.0 s: stopped: {LEFT}: 1 GET /page",
        )

    def test_paths(self) -> None:
        """The most frequent paths are named, the others are counted."""
        for number, path in enumerate([b"/a", b"/b", b"/c", b"/d", b"/e"], 1):
            self.leave(number, path)
        self.assertTrue(self.counted().endswith(": 5 GET /e, 4 GET /d, 3 GET /c, 3 of other paths"))

    def test_causes(self) -> None:
        """Each cause and each way to end has its own counts, with the text of the first."""
        self.leave(2)
        for cause in [TimedOut(5), TimedOut(6)]:
            log_on(self.clock, outcome(cause=cause))
        log_on(self.clock, outcome(cause=TimedOut(5), ended=Ended.SURVIVED))
        self.assertEqual(
            self.counted(),
            f"5 more requests were cancelled in 1.0 s: stopped: {LEFT}: 2 GET /page; "
            "stopped: timed out after 5 s (timeout): 2 GET /page; "
            "survived: timed out after 5 s (timeout): 1 GET /page",
        )

    def test_one_timer(self) -> None:
        """However many causes there are, there is one timer."""
        self.leave(2)
        log_on(self.clock, outcome(cause=TimedOut(5)))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_spared(self) -> None:
        """Requests that would have been cancelled, and were not, have a line of their own."""
        self.leave(1)
        for cause in [Disconnected(), Disconnected(), TimedOut(5)]:
            spared = outcome(cause=None, ended=Ended.COMPLETED, would_have_cancelled=cause)
            log_on(self.clock, spared)
        self.clock.advance(1)
        self.assertEqual(
            self.lines(),
            [
                f"1 more request was cancelled in 1.0 s: stopped: {LEFT}: 1 GET /page",
                "3 more requests were spared in 1.0 s: completed: would have been cancelled: "
                "the client disconnected: 2 GET /page; completed: would have been cancelled: "
                "timed out after 5 s (timeout): 1 GET /page",
            ],
        )

    def test_failed(self) -> None:
        """Failed requests have a line of their own at info; their tracebacks are all logged."""
        self.leave(3, handler=raising)
        self.leave(1)
        self.taken()
        self.clock.advance(1)
        failed, cancelled = self.taken()
        self.assertEqual(failed["log_level"].name, "info")
        self.assertEqual(
            formatEvent(failed),
            "3 more requests ended with errors in 1.0 s: failed: ValueError: the handler's: "
            "3 GET /page",
        )
        self.assertEqual(cancelled["log_level"].name, "info")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)

    def test_each_error(self) -> None:
        """Each class of errors has its own counts."""
        self.leave(1, handler=raising)
        self.leave(2, handler=lambda _: [][0])
        self.flushLoggedErrors(ValueError, IndexError)
        self.assertTrue(
            self.counted().endswith(
                ": failed: ValueError: the handler's: 1 GET /page; "
                "failed: IndexError: list index out of range: 2 GET /page"
            )
        )

    def test_not_worth_a_line(self) -> None:
        """A request that would have no line of its own is not counted."""
        self.leave(5, handler=lambda _: b"page", observers=log_outcome)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_is_structured(self) -> None:
        """The event of a second has the counts, for programs that read the log."""
        self.leave(2, b"/a")
        self.leave(1, b"/b")
        self.clock.advance(1)
        (event,) = self.taken()
        self.assertEqual((event["count"], event["seconds"]), (3, 1))
        facts = {"ended": Ended.STOPPED, "cause": "Disconnected", "error": None, "count": 3}
        self.assertEqual(event["counts"], [{**facts, "paths": {"GET /a": 2, "GET /b": 1}}])

    def test_structure_of_others(self) -> None:
        """The counts of failed and of spared requests tell their error or their cause."""
        self.leave(1, handler=raising)
        self.flushLoggedErrors(ValueError)
        log_on(self.clock, outcome(cause=None, would_have_cancelled=TimedOut(1)))
        self.taken()
        self.clock.advance(1)
        told = [event["counts"][0] for event in self.taken()]
        self.assertEqual(
            [(each["cause"], each["error"]) for each in told],
            [(None, "ValueError"), ("TimedOut", None)],
        )

    def test_many_paths(self) -> None:
        """However many paths clients think of, few are kept and fewer are named."""
        for number in range(3000):
            log_on(self.clock, outcome(b"/%d" % number))
        (tally,) = bursts._LOGS[id(self.clock)].counted.values()
        self.assertEqual(len(tally.paths), MOST_PATHS)
        line = self.counted()
        self.assertEqual(line.count("GET"), NAMED)
        self.assertTrue(line.endswith(", 2,997 of other paths"), line)

    def test_frequent_path_among_many(self) -> None:
        """A frequent path is found among many that are not."""
        for number in range(1000):
            log_on(self.clock, outcome(b"/%d" % number))
            log_on(self.clock, outcome(b"/report"))
        self.assertIn(": 1,000 GET /report, 1 GET /0, ", self.counted())

    def test_long_texts(self) -> None:
        """Long paths and long texts of causes are cut."""

        class Kicked(Cause):
            def __str__(self) -> str:
                return "kicked" * 1000

        log_on(self.clock, outcome(b"/long" * 1000, cause=Kicked()))
        line = self.counted()
        self.assertIn("kicke...: 1 GET /long", line)
        self.assertLess(len(line), 3 * LONGEST)

    def test_cannot_be_forged(self) -> None:
        """Nothing that a client chose can forge a line."""
        every = bytes(range(256))
        log_on(self.clock, evolve(outcome(every), method=every))
        line = self.counted()
        self.assertTrue(line.isascii() and line.isprintable(), line)

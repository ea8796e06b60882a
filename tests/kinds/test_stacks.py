"""Long stacks, and descriptions that are long: what is kept of them, wherever they are told.

What belongs here: what is left out. What does not: which lines there are (`test_where`).
"""

import sys
from collections.abc import Callable, Generator
from typing import Any

from hypothesis import given, strategies
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._kinds.stacks import FIRST, LAST, LONGEST, shortened, stack_of
from cancelweb.monitor import Monitor, where_it_waits

from .._logs import log_events, of_cancelweb
from ..operating._monitored import Monitored
from ..scopes._survivors import line_of

MOST = FIRST + LAST + 1
"""How many lines there are at most."""


async def deep(frames: int) -> bytes:
    """Wait so many frames deep, and run on when cancelled."""
    if frames > 1:
        return await deep(frames - 1)
    try:
        return await Deferred[bytes]()
    except Exception:
        return await Deferred[bytes]()


@inlineCallbacks
def deep_generator(frames: int) -> Generator[Deferred[Any], Any, None]:
    """Wait so many generators deep."""
    yield Deferred() if frames == 1 else deep_generator(frames - 1)


def allow_deep(case: SynchronousTestCase) -> None:
    """Let Python call so deep while the test runs: the stack below it is deep already."""
    case.addCleanup(sys.setrecursionlimit, sys.getrecursionlimit())
    sys.setrecursionlimit(5_000)


class StackTests(SynchronousTestCase):
    """The lines of a stack."""

    def setUp(self) -> None:
        allow_deep(self)

    def lines(self, frames: int, begin: Callable[[int], Any] = deep) -> list[str]:
        """The lines of work that waits so deep."""
        work = Deferred.fromCoroutine(begin(frames)) if begin is deep else begin(frames)
        work.addErrback(lambda _: None)
        return stack_of(work).splitlines()

    def test_short(self) -> None:
        """A short stack is told whole."""
        for frames in 1, 2, MOST - 1, MOST:
            lines = self.lines(frames)
            self.assertEqual(len(lines), frames)
            self.assertFalse([line for line in lines if not line.endswith(" in deep")])

    def test_long(self) -> None:
        """A long stack has its first and last lines, and how many are between."""
        first, last = line_of(deep, 3), line_of(deep, 5)
        for frames, left_out in {MOST + 1: 2, 800: 788}.items():
            lines = self.lines(frames)
            self.assertEqual(lines[FIRST], f"… {left_out} more frames …")
            self.assertEqual(lines[:FIRST], [first] * FIRST)
            self.assertEqual(lines[-LAST:], [first] * (LAST - 1) + [last])
            self.assertEqual(len(lines), MOST)

    def test_generators(self) -> None:
        """A long stack of generators is cut as that of coroutines is."""
        self.assertEqual(self.lines(50, deep_generator)[FIRST], "… 38 more frames …")

    def test_nothing(self) -> None:
        """What does not wait has no stack."""
        self.assertEqual(stack_of(None), "")


class ShortenedTests(SynchronousTestCase):
    """Descriptions of where work waits, which users may write."""

    def test_short(self) -> None:
        """A short description stays as it is."""
        for text in (
            "",
            "render farm, job 17",
            "one\ntwo",
            "\n".join("x" * LONGEST for _ in range(MOST)),
        ):
            self.assertEqual(shortened(text), text)

    def test_long_line(self) -> None:
        """Of a long line, the end is kept, which has the function."""
        line = shortened("/srv/" + "x" * 1000 + ".py:12 in render")
        self.assertEqual(len(line), LONGEST)
        self.assertRegex(line, r"^…x+\.py:12 in render$")

    def test_many_lines(self) -> None:
        """Of many lines, the first and last are kept."""
        lines = shortened("\n".join(map(str, range(1_000_000)))).splitlines()
        self.assertEqual(lines[: FIRST + 1], ["0", "1", "2", "3", "… 999,988 more lines …"])
        self.assertEqual(lines[-1], "999999")

    @given(strategies.text())
    def test_bounds(self, text: str) -> None:
        """Whatever the text is, there is a limit to its lines and their length."""
        short = shortened(text * 50)
        self.assertLessEqual(len(short.splitlines()), MOST)
        self.assertLessEqual(max(map(len, short.splitlines()), default=0), LONGEST)


class ToldTests(SynchronousTestCase):
    """Where stacks are told: in records, log lines and reports."""

    def setUp(self) -> None:
        allow_deep(self)
        self.clock = Clock()
        self.site = Monitored(self.clock, Monitor(self.clock))

    def test_survivor(self) -> None:
        """The record of a survivor that waits 800 frames deep is short, and so is its log line."""
        events = log_events(self)
        self.site.visit(handler=lambda _: deep(800), survivor_after=1).disconnect()
        self.clock.advance(1)
        (survivor,) = self.site.monitor.survivors
        self.assertEqual(survivor.where.splitlines()[FIRST], "… 788 more frames …")
        lines = [formatEvent(event) for event in of_cancelweb(events)]
        self.assertLess(max(map(len, lines)), (MOST + 1) * LONGEST)
        self.assertTrue([line for line in lines if "… 788 more frames …" in line])

    def test_in_flight(self) -> None:
        """A request whose work waits 800 frames deep waits at the innermost line."""
        self.site.visit(handler=lambda _: deep(800))
        (scope,) = self.site.monitor.scopes
        self.assertEqual(where_it_waits(scope), line_of(deep, 5))

    def test_let_go(self) -> None:
        """Work that is let go is told at its innermost line of the user's code."""

        never: Deferred[bytes] = Deferred()

        async def outer(frames: int) -> bytes:
            return await (outer(frames - 1) if frames else never)

        self.site.visit(handler=lambda _: outer(800)).disconnect()
        (let_go,) = self.site.monitor.let_go
        self.assertEqual(let_go.where, line_of(outer, 1))
        self.assertTrue(never.called)

"""The limit of a process's exit: when it ends the process, and what it logs before.

What belongs here: the limit by itself, with another end than that of the test's own process. What
does not: real processes (`real.system.test_exit`), and what the holders say (`test_holding_up`).
"""

import os
import sys
from collections.abc import Callable, Iterable
from signal import SIGINT, SIGTERM, SIGURG
from threading import Event
from typing import Any, NoReturn

from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._operating import exiting
from cancelweb._operating.exiting import MOST, ExitLimit, end_by
from cancelweb._operating.holding_up import Holder
from cancelweb._twisted.process import exit_signal_of

from .._logs import log_events, of_cancelweb

PATIENCE = 20.0
"""Seconds after which a test gives a thread up."""


class ExitLimitTests(SynchronousTestCase):
    """A limit, and the threads in which it is up."""

    def setUp(self) -> None:
        """Have the limit only note by which signal the process would end."""
        self.ends: list[int] = []
        self.nets: list[float] = []
        self.ended = Event()
        self.patch(exiting, "end_by", self.note_end)
        self.patch(exiting, "dump_traceback_later", lambda seconds, **_: self.nets.append(seconds))
        self.events = log_events(self)

    def note_end(self, number: int) -> None:
        """Note that the process would end."""
        self.ends.append(number)
        self.ended.set()

    def limit(self, holders: Callable[[], Iterable[Holder]]) -> ExitLimit:
        """A limit whose threads are over before the test's end may end the process again."""
        limit = ExitLimit(holders, lambda: SIGINT)

        def stop() -> None:
            for timer in limit._timers:
                timer.cancel()
                timer.join(PATIENCE)

        self.addCleanup(stop)
        return limit

    def lines(self) -> list[str | None]:
        """What was logged."""
        return [formatEvent(event) for event in of_cancelweb(self.events, LogLevel.warn)]

    def test_is_up(self) -> None:
        """When the limit is up, each holder is logged, and the process ends by the signal."""
        limit = self.limit(lambda: iter([Holder("this", "here"), Holder("that", "there")]))
        limit.within(0)
        self.assertTrue(self.ended.wait(PATIENCE))
        self.assertEqual(self.ends[:1], [SIGINT])
        self.assertEqual(
            self.lines()[:3],
            [
                "the process has not ended in time and is ended by SIGINT; 2 still running:",
                "still running: this: here",
                "still running: that: there",
            ],
        )

    def test_is_moved(self) -> None:
        """A limit that is moved holds no more at its former time, nor does its last net."""
        limit = self.limit(list)
        limit.within(0.05)
        first = list(limit._timers)
        limit.within(1000)
        for timer in first:
            timer.join(PATIENCE)
            self.assertFalse(timer.is_alive())
        self.assertEqual((self.ends, self.lines()), ([], []))
        self.assertEqual(self.nets, [0.05 + 2, 1002])

    def test_nothing_is_known(self) -> None:
        """If no holder is found, the log says so."""
        self.limit(list).within(0)
        self.assertTrue(self.ended.wait(PATIENCE))
        self.assertRegex(
            str(self.lines()[1]), "^still running: something that cancelweb does not know: "
        )

    def test_many(self) -> None:
        """No more than 50 holders are logged, with their number."""
        self.limit(lambda: [Holder("this", "here")] * 1000).within(0)
        self.assertTrue(self.ended.wait(PATIENCE))
        self.assertIn("; 1000 still running:", str(self.lines()[0]))
        self.assertEqual(len(self.lines()), 1 + MOST)

    def test_cannot_be_told(self) -> None:
        """If the holders cannot be told, that is logged, and the process ends all the same."""

        def changing() -> NoReturn:
            raise RuntimeError("dictionary changed size during iteration")

        self.limit(changing).within(0)
        self.assertTrue(self.ended.wait(PATIENCE))
        self.assertEqual(self.ends[:1], [SIGINT])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_does_not_wait_for_the_log(self) -> None:
        """If telling the holders takes more than a second, the process ends meanwhile."""
        goes_on = Event()
        self.addCleanup(goes_on.set)

        def stuck() -> list[Holder]:
            goes_on.wait(PATIENCE)
            return []

        self.limit(stuck).within(0)
        self.assertTrue(self.ended.wait(PATIENCE))
        self.assertEqual((self.ends, self.lines()), ([SIGINT], []))

    def test_tracebacks_go_to_standard_error(self) -> None:
        """The last net writes to the standard error of the process, or nowhere if it has none."""
        files: list[Any] = []
        self.patch(exiting, "dump_traceback_later", lambda _, file, **options: files.append(file))
        limit = self.limit(list)
        limit.within(1000)
        self.patch(sys, "__stderr__", None)
        limit.within(1000)
        first, second = files
        self.addCleanup(os.close, second)
        self.assertEqual(os.fstat(second).st_rdev, os.stat(os.devnull).st_rdev)
        self.assertNotEqual(first, second)


class EndTests(SynchronousTestCase):
    """The end of a process by a signal."""

    def test_a_signal_that_does_not_end_it(self) -> None:
        """Where the kernel ignores the signal, the process exits with the status of its end."""
        statuses: list[int] = []
        self.patch(os, "_exit", statuses.append)
        # The default of this signal is to do nothing, as that of any is for process 1 of a
        # container.
        end_by(SIGURG)
        self.assertEqual(statuses, [128 + SIGURG])

    def test_the_signal_is_that_of_the_reactor(self) -> None:
        """A reactor knows which signal asked it to stop; without one, SIGTERM is used."""

        class Told:
            _exitSignal = SIGINT

        self.assertEqual(exit_signal_of(Told()), SIGINT)
        self.assertEqual(exit_signal_of(Clock()), SIGTERM)

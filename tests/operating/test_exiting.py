"""The limit of a process's exit: when it ends the process, and what it logs before.

What belongs here: the limit by itself, with another end than that of the test's own process. What
does not: real processes (`real.system.test_exit`), and what the holders say (`test_holding_up`).
"""

import os
import sys
import threading
from _thread import start_new_thread
from collections.abc import Callable, Iterable
from faulthandler import cancel_dump_traceback_later, dump_traceback_later
from signal import SIGINT, SIGTERM, SIGURG
from threading import TIMEOUT_MAX, Event
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
        self.threads: list[Event] = []
        self.patch(exiting, "start_new_thread", self.start)

    def start(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Start a thread of the limit, and keep an event that is set when it is over."""
        over = Event()
        self.threads.append(over)

        def run() -> None:
            # Coverage sees the threads of `threading` alone.
            sys.settrace(threading.gettrace())
            try:
                function(*arguments)
            finally:
                over.set()

        start_new_thread(run, ())

    def are_over(self, threads: list[Event]) -> None:
        """Wait until these threads are over."""
        for each in threads:
            self.assertTrue(each.wait(PATIENCE))

    def note_end(self, number: int) -> None:
        """Note that the process would end."""
        self.ends.append(number)
        self.ended.set()

    def limit(self, holders: Callable[[], Iterable[Holder]]) -> ExitLimit:
        """A limit whose threads are over before the test's end may end the process again."""
        limit = ExitLimit(holders, lambda: SIGINT)
        self.addCleanup(self.are_over, self.threads)
        self.addCleanup(limit.withdraw)
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
        limit.within(1000)
        self.are_over(self.threads[:2])
        self.assertEqual((self.ends, self.lines()), ([], []))
        self.assertEqual(self.nets, [0.05 + 2, 1002])

    def test_is_withdrawn(self) -> None:
        """Of a limit that is withdrawn nothing is left, neither its threads nor its last net."""
        nets: list[None] = []
        self.patch(exiting, "cancel_dump_traceback_later", lambda: nets.append(None))
        limit = self.limit(list)
        limit.within(1000)
        nets.clear()
        limit.withdraw()
        self.are_over(self.threads)
        self.assertEqual((self.ends, self.lines(), nets), ([], [], [None]))

    def test_is_over(self) -> None:
        """A limit that was over before it was set ends the process now."""
        self.limit(list).within(-0.5)
        self.assertTrue(self.ended.wait(PATIENCE))
        self.assertEqual(self.nets, [2])

    def test_is_very_long(self) -> None:
        """A limit may be longer than a thread can wait."""
        limit = self.limit(list)
        for seconds in 1e10, 1e300:
            limit.within(seconds)
        self.assertEqual(self.nets, [TIMEOUT_MAX] * 2)
        dump_traceback_later(TIMEOUT_MAX)
        cancel_dump_traceback_later()

    def test_in_a_signal_handler(self) -> None:
        """A signal handler may set a limit while the code that it interrupts starts a thread."""
        limit = self.limit(list)
        with threading._active_limbo_lock:  # type: ignore[attr-defined]
            limit.within(0)
            self.assertTrue(self.ended.wait(PATIENCE))

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

        def stuck() -> list[Holder]:
            goes_on.wait(PATIENCE)
            return []

        limit = self.limit(stuck)
        self.addCleanup(goes_on.set)
        limit.within(0)
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

"""Celery tasks, where Celery is not installed: what is known about workers, and what that means.

What belongs here: judging what workers say, and the missing extra. What does not: real workers,
which `real.engines` has.
"""

import subprocess
import sys
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._engines.celery_answers import Answers, Held, Pool, Stage, result_of
from cancelweb._engines.celery_call import Call, Lost
from cancelweb._engines.celery_workers import Workers
from cancelweb._kinds.where import lines_of

NONE: frozenset[str] = frozenset()
ONE = frozenset(["one"])
WAITING, ACTIVE = Held("one", Stage.WAITING), Held("one", Stage.ACTIVE, 17)
PREFORK, THREADS = Pool(True, frozenset([17])), Pool(False, frozenset())


class Signature:
    """As much of a signature as a call needs."""

    task = "report"


def call() -> Call:
    """A call of a task that was given up."""
    return Call(Signature(), "id", None, lambda _: None)


def answers(held: Held | None = None, pool: Pool | None = None) -> Answers:
    """The answer of one worker."""
    return Answers(
        ONE, {} if held is None else {"id": held}, {}, {} if pool is None else {"one": pool}
    )


class JudgeTests(SynchronousTestCase):
    """Whether a task has ended, as far as the workers know."""

    def assert_stopped(self, failure: Failure | None) -> None:
        """The task has ended, and was stopped."""
        assert failure is not None
        self.assertIsNotNone(failure.check(CancelledError))

    def test_unknown(self) -> None:
        """A task that no worker knows does not run, and never will."""
        self.assert_stopped(call().judge(answers(), True))

    def test_silent(self) -> None:
        """While a worker is silent, or may be unknown, the task may run."""
        self.assertIsNone(call().judge(answers(), False))

    def test_runs(self) -> None:
        """A task that runs has not ended, however often a worker says so."""
        running = call()
        for _ in range(3):
            self.assertIsNone(running.judge(answers(ACTIVE, PREFORK), True))

    def test_waits(self) -> None:
        """A task that waits in its worker never runs; but the first word may be outdated."""
        waiting = call()
        self.assertIsNone(waiting.judge(answers(WAITING, PREFORK), True))
        self.assert_stopped(waiting.judge(answers(WAITING, PREFORK), True))

    def test_began_meanwhile(self) -> None:
        """The words must follow each other: between them the task may have begun."""
        waiting = call()
        for held in (WAITING, ACTIVE, WAITING):
            self.assertIsNone(waiting.judge(answers(held, PREFORK), True))

    def test_waits_in_thread(self) -> None:
        """Other pools than prefork run a task that waits, although it was revoked."""
        waiting = call()
        for pool in (THREADS, THREADS, THREADS, None):
            self.assertIsNone(waiting.judge(answers(WAITING, pool), True))

    def test_lost(self) -> None:
        """If the worker that held it no longer answers, nothing tells whether it runs."""
        running = call()
        running.judge(answers(ACTIVE), True)
        failure = running.judge(Answers(frozenset(["two"])), True)
        assert failure is not None
        self.assertIn("may still be running", str(failure.trap(Lost) and failure.value))

    def test_signalled(self) -> None:
        """A worker forgets a task with the signal, so its process must be gone."""
        running = call()
        running.judge(answers(ACTIVE), True)
        running.is_signalled = True
        self.assertIsNone(running.judge(answers(), True))
        self.assertIsNone(running.judge(answers(None, PREFORK), True))
        self.assert_stopped(running.judge(answers(None, Pool(True, frozenset([18]))), True))


class CallTests(SynchronousTestCase):
    """The Deferred of a call."""

    def test_place(self) -> None:
        """Its place names the task, and says where it is."""
        running = call()
        waiting = running.start()
        self.assertEqual([*lines_of(waiting)], ["Celery task report[id], not sent yet"])
        for held, where in ((WAITING, "waiting in one"), (ACTIVE, "running in one, process 17")):
            running.judge(answers(held), True)
            self.assertEqual([*lines_of(waiting)], [f"Celery task report[id], {where}"])

    def test_ends_once(self) -> None:
        """The Deferred fires once, with the first result."""
        running = call()
        waiting = running.start()
        running.end(1)
        running.end(2)
        self.assertEqual(self.successResultOf(waiting), 1)

    def test_cancelled(self) -> None:
        """A cancelled call fires when it ends, and not before."""
        given_up: list[Call] = []
        running = Call(Signature(), "id", None, given_up.append)
        waiting: Deferred[Any] = running.start()
        fired: list[object] = []
        waiting.addBoth(fired.append)
        waiting.cancel()
        self.assertEqual((given_up, fired), ([running], []))
        running.end(1)
        self.assertIsInstance(fired[0], Failure)


class ResultTests(SynchronousTestCase):
    """Results, as Celery stores them."""

    def test_value(self) -> None:
        """What a task returned is its result."""
        self.assertEqual(result_of("SUCCESS", 3, None), 3)

    def test_error(self) -> None:
        """An exception is a failure, with the worker's traceback, if there is one, as a note."""
        error = result_of("FAILURE", KeyError("a"), "line 1").value
        self.assertEqual(error.__notes__, ["The traceback in the worker:\nline 1"])
        self.assertFalse(hasattr(result_of("FAILURE", KeyError("a"), None).value, "__notes__"))

    def test_no_exception(self) -> None:
        """If Celery stored something else in its place, the failure shows it."""
        self.assertEqual(str(result_of("IGNORED", 3, None).value), "IGNORED: 3")


class WorkersTests(SynchronousTestCase):
    """Which workers there are."""

    def test_unknown(self) -> None:
        """At first, and after a while, there may be workers that are not known yet."""
        workers = Workers(3)
        self.assertFalse(workers.are_known(0))
        workers.answered(ONE, 1)
        self.assertFalse(workers.are_all(ONE, 1))
        workers.found(ONE, 1)
        self.assertTrue(workers.are_all(ONE, 3.9))
        self.assertFalse(workers.are_all(ONE, 4))

    def test_enough(self) -> None:
        """A question waits for the workers that are known, and for one at least."""
        workers = Workers(3)
        self.assertEqual(workers.enough(), 1)
        workers.found({"one", "two"}, 1)
        self.assertEqual(workers.enough(), 2)

    def test_none(self) -> None:
        """Where no worker answers, nothing is known."""
        workers = Workers(3)
        workers.found(NONE, 0)
        self.assertFalse(workers.are_all(NONE, 0))

    def test_silent(self) -> None:
        """A worker that does not answer is waited for until it counts as lost."""
        workers = Workers(3)
        workers.found({"one", "two"}, 0)
        self.assertFalse(workers.are_all(ONE, 0))
        workers.found(ONE, 2)
        self.assertFalse(workers.are_all(ONE, 2))
        workers.answered(ONE, 3)
        self.assertTrue(workers.are_all(ONE, 3))


class ExtraTests(SynchronousTestCase):
    """The extra."""

    def test_missing(self) -> None:
        """Without Celery, the ImportError says what to install."""
        program = (
            "import sys; sys.modules['celery'] = None\n"
            "try:\n    import cancelweb.celery\nexcept ImportError as error:\n    print(error)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
        )
        self.assertIn("pip install 'cancelweb[celery]'", ran.stdout, ran.stderr)

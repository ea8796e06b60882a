"""The benchmark of wasted work in job queues, clusters and pools runs, and counts right.

What belongs here: that it runs, counts on the workers' side, and leaves no process. What does not:
any time.
"""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .._programs import find_program
from .._servers import REPOSITORY
from ._wasted import SHOWN, rows_of, run_benchmark

sys.path.append(str(REPOSITORY / "benchmarks"))

import engine_jobs
import engine_kinds
import engine_workers
import wasted_engines
from wasted_clients import wait_for
from wasted_counts import family_seconds, marked

TINY = ("--clients", "4", "--slots", "2", "--watch", "1")


def run_tiny(test: SynchronousTestCase, *arguments: str) -> list[dict[str, str]]:
    """Have four clients ask an engine that runs two jobs at once."""
    find_program("redis-server", "apt-get install redis-server")
    find_program("setpriv", "apt-get install util-linux")
    return run_benchmark(test, "engines", *TINY, *arguments)


class EngineTests(SynchronousTestCase):
    """`benchmarks/wasted_work.py`, with real engines."""

    def assert_none_runs(self, kinds: list[str]) -> None:
        """With cancelweb nothing runs, and none that was queued has ever run."""
        rows = run_tiny(self, "--seconds", "30", "--ways", "cancelweb", "--kinds", *kinds)
        self.assertEqual([row["engine"] for row in rows], kinds)
        for row in rows:
            self.assertEqual((row["started"], row["queued"]), ("2", "2"), row)
            self.assertEqual((row["running, cancelweb"], row["ran, cancelweb"]), ("0", "0"), row)

    def test_celery(self) -> None:
        """With cancelweb no task of Celery runs that looks or is killed."""
        self.assert_none_runs(["Celery, tasks that look", "Celery, SIGTERM"])

    def test_the_others(self) -> None:
        """With cancelweb no job of another engine runs."""
        self.assert_none_runs([kind for kind in engine_kinds.KINDS if "Celery" not in kind])

    def test_without_cancelweb(self) -> None:
        """By hand, jobs of RQ that run go on; plain, those that are queued run, too."""
        ways = ("--ways", "by hand", "plain")
        [row] = run_tiny(self, "--seconds", "3", *ways, "--kinds", "RQ")
        self.assertEqual((row["running, by hand"], row["running, plain"]), ("2", "2"))
        self.assertEqual((row["ran, by hand"], row["ran, plain"]), ("0", "2"))


class NotesTests(SynchronousTestCase):
    """What jobs note, and how it is counted."""

    def setUp(self) -> None:
        """Make a directory."""
        self.notes = engine_jobs.Notes(Path(self.mktemp()))
        self.notes.directory.mkdir()

    def counts(self) -> tuple[int, int]:
        """How many runs have begun, and how many of these run."""
        return self.notes.began(), self.notes.running()

    def test_runs_and_ends(self) -> None:
        """A run counts as running until it ends, by an exception, too."""
        with self.assertRaises(ZeroDivisionError), engine_jobs.noted(self.notes.directory):
            self.assertEqual(self.counts(), (1, 1))
            raise ZeroDivisionError
        self.assertEqual(self.counts(), (1, 0))

    def test_is_killed(self) -> None:
        """A run does not count as running if its process was killed, reaped or not."""
        program = (
            "import engine_jobs, os, pathlib\n"
            f"with engine_jobs.noted(pathlib.Path({str(self.notes.directory.absolute())!r})):\n"
            "    print(flush=True)\n"
            "    os.read(0, 1)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=Path(engine_jobs.__file__).parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            self.assertEqual(self.counts(), (1, 1))
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            self.assertEqual(self.counts(), (1, 0))
        self.assertEqual(self.counts(), (1, 0))

    def test_number_is_used_again(self) -> None:
        """A run does not count as running if a later process has the number of its own."""
        (self.notes.directory / f"{os.getpid()}-0-note").touch()
        self.assertEqual(self.counts(), (1, 0))

    def test_looks(self) -> None:
        """A job ends if it sees that it is not wanted."""
        engine_jobs.job(str(self.notes.directory), 1000, lambda: True)
        self.assertEqual(self.counts(), (1, 0))


class EndTests(SynchronousTestCase):
    """The processes of an engine."""

    def test_all_end(self) -> None:
        """Processes end with their engine, also those in sessions of their own."""
        find_program("setpriv", "apt-get install util-linux")
        self.patch(engine_workers, "ENGINES", {"none": lambda engine: None})
        with engine_workers.engine("none", 1) as engine:
            script = "setsid sleep 1000 & echo ready; sleep 1000"
            engine.start("processes", "sh", "-c", script, ready="ready")
            wait_for(3, lambda: len(marked(engine.mark)), "processes")
        self.assertEqual(marked(engine.mark), set())

    def test_does_not_start(self) -> None:
        """A process that ends at once is an error, with what it has written."""
        self.patch(engine_workers, "ENGINES", {"none": lambda engine: None})
        error = self.assertRaisesRegex(RuntimeError, "worker has not started:\nno broker")
        with engine_workers.engine("none", 1) as engine, error:
            engine.start("worker", "echo", "no broker", ready="ready")


class SecondsTests(SynchronousTestCase):
    """The processor time of workers."""

    def test_ended_children(self) -> None:
        """The time of children that have ended counts; that of their parent does only if wanted."""
        child = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done"
        with subprocess.Popen(
            ["sh", "-c", f"sh -c '{child}'; echo; cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            children = family_seconds(process.pid, itself=False)
            self.assertGreater(children, 0.03)
            self.assertGreaterEqual(family_seconds(process.pid, itself=True), children)
            process.communicate()


class ProofTests(SynchronousTestCase):
    """Rows that prove nothing."""

    def test_what_has_run(self) -> None:
        """With cancelweb no queued job may run, and no other may run on if it can be stopped."""
        wastes = {way: wasted_engines.Waste(10, 3, 2, 0.1) for way in ("cancelweb", "plain")}
        ran = "2 that were queued have run with cancelweb"
        for kind, it in engine_kinds.KINDS.items():
            runs_on = [] if it.survives else [f"{kind}: of 10, 3 still ran with cancelweb"]
            faults = list(wasted_engines.unproven(kind, wastes))
            self.assertEqual(faults, [*runs_on, f"{kind}: {ran}"])
            clean = {**wastes, "cancelweb": wasted_engines.Waste(10, 0, 0, 0.1)}
            self.assertEqual(list(wasted_engines.unproven(kind, clean)), [])

    def test_goes_on(self) -> None:
        """A job that does not end is an error."""
        self.patch(wasted_engines, "PATIENCE", 0.0)
        notes = engine_jobs.Notes(Path(self.mktemp()))
        notes.directory.mkdir()
        error = self.assertRaisesRegex(TimeoutError, "RQ, plain: 1 still run")
        with engine_jobs.noted(notes.directory), error:
            wasted_engines.wait_until_quiet(notes, 0.0, "RQ, plain")


class ShownTests(SynchronousTestCase):
    """The table in the documentation."""

    def test_nothing_runs_with_cancelweb(self) -> None:
        """Of ten jobs none ran on that could be stopped, and of forty queued ones none began."""
        rows = rows_of(SHOWN / "engines.csv")
        self.assertEqual([row["engine"] for row in rows], list(engine_kinds.KINDS))
        for row in rows:
            self.assertEqual((row["started"], row["queued"]), ("10", "40"), row)
            runs_on = "10" if engine_kinds.KINDS[row["engine"]].survives else "0"
            self.assertEqual(row["running, cancelweb"], runs_on, row)
            self.assertEqual(row["ran, cancelweb"], "0", row)

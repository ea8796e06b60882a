"""The benchmark of wasted work runs, and finds with cancelweb that nothing still runs.

What belongs here: that it runs, and counts right. What does not: any time.
"""

import sys

from twisted.trial.unittest import SynchronousTestCase

from .._servers import REPOSITORY
from ._wasted import SHOWN, rows_of, run_benchmark

sys.path.append(str(REPOSITORY / "benchmarks"))

import wasted_clients
import wasted_kinds
import wasted_local

TABLE = SHOWN / "wasted.csv"
TINY = ("--clients", "2", "--watch", "0.5")


class WastedWorkTests(SynchronousTestCase):
    """`benchmarks/wasted_work.py`, with two clients and little time."""

    def test_nothing_runs_with_cancelweb(self) -> None:
        """Of all kinds of work two have started, and none still runs."""
        kinds = ("--kinds", *wasted_kinds.KINDS)
        rows = run_benchmark(self, "wasted", *TINY, *kinds, "--ways", "cancelweb")
        self.assertEqual([row["work"] for row in rows], [row["work"] for row in rows_of(TABLE)])
        for row in rows:
            each = 4 if row["work"] == "pipeline" else 1
            self.assertEqual(row["started"], str(2 * each), row)
            self.assertEqual(row["running, cancelweb"], "0", row)

    def test_the_others_are_counted(self) -> None:
        """Without cancelweb a thread runs on; a coroutine only if no code cancels it."""
        kinds = ("--kinds", "thread", "coroutine")
        rows = run_benchmark(self, "wasted", *TINY, *kinds, "--ways", "by hand", "plain")
        found = {row["work"]: (row["running, by hand"], row["running, plain"]) for row in rows}
        self.assertEqual(found, {"thread": ("2", "2"), "coroutine": ("0", "2")})


class ProofTests(SynchronousTestCase):
    """Rows that prove nothing."""

    def test_what_still_runs(self) -> None:
        """What still runs with cancelweb is a fault; what does without it is not."""
        wastes = {way: wasted_local.Waste(50, 3, 0.1) for way in ("cancelweb", "by hand", "plain")}
        [fault] = wasted_local.unproven("thread", wastes)
        self.assertEqual(fault, "thread: of 50, 3 still ran with cancelweb")
        wastes["cancelweb"] = wasted_local.Waste(50, 0, 0.1)
        self.assertEqual(list(wasted_local.unproven("thread", wastes)), [])

    def test_what_has_not_started(self) -> None:
        """Work that does not begin, or begins too often, has no row."""
        self.patch(wasted_clients, "PATIENCE", 0.0)
        for started in ([1], [1, 2, 3]):
            with self.assertRaisesRegex(
                TimeoutError, f"thread: {len(started)} have started, not 2"
            ):
                wasted_clients.wait_for(2, started.__len__, "thread")


class ShownTests(SynchronousTestCase):
    """The table in the documentation."""

    def test_nothing_runs_with_cancelweb(self) -> None:
        """All had started, for fifty clients, and none still ran."""
        for row in rows_of(TABLE):
            self.assertEqual(row["started"], "200" if row["work"] == "pipeline" else "50", row)
            self.assertEqual(row["running, cancelweb"], "0", row)

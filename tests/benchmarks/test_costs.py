"""What a request pays step by step, and while others wait, is measured and shown.

What belongs here: what `benchmarks/steps.py`, `costs.py` and `growth.py` run and write, in tiny
runs. What does not: any time.
"""

import csv
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from .._programs import find_program
from .._servers import REPOSITORY
from .test_inprocess import answers
from .test_instructions import run

BENCHMARKS = REPOSITORY / "benchmarks"
sys.path.append(str(BENCHMARKS))

from cases import Case  # noqa: E402
from contenders import REQUEST, Contender  # noqa: E402
from costs import function_rows  # noqa: E402
from growth import (  # noqa: E402
    MAKERS,
    Growth,
    growth_table,
    leave,
    memory,
    memory_table,
    wait,
)
from handlers import BODY, Stage  # noqa: E402
from report import TABLES  # noqa: E402
from steps import STEPS  # noqa: E402


def decorated(table: str) -> Case:
    """The step of this table that is decorated, and no more."""
    [case] = [case for case in STEPS[table] if case.name == "decorated"]
    return case


class StepTests(SynchronousTestCase):
    """The steps from the floor to cancelweb."""

    def test_all_answer_alike(self) -> None:
        """Each step answers with the page, and nothing still runs."""
        for table, steps in STEPS.items():
            for step in steps:
                if not step.is_abandoned:
                    contender = step.ours()
                    connection = contender.connect()
                    contender.complete(connection, 2)
                    found = [(each.status, each.body) for each in answers(connection, 2)]
                    self.assertEqual(found, [(200, BODY)] * 2, (table, step.name))
                    self.assertEqual(contender.stage.running(), 0, (table, step.name))

    def test_only_the_floor_does_not_cancel(self) -> None:
        """When the client leaves, each step but the floor cancels the work."""
        for step in STEPS["abandoned"]:
            contender = step.ours()
            connection = contender.connect()
            connection.send(REQUEST)
            connection.leave()
            runs_on = bool(contender.stage.running())
            self.assertEqual(runs_on, step.name.startswith("the floor"), step.name)


class FunctionTests(SynchronousTestCase):
    """The functions of cancelweb that a request runs."""

    def test_they_are_listed(self) -> None:
        """The decorated handler's come first, each with its calls and its bytecodes, then all."""
        for table in ("deferred", "abandoned"):
            case = decorated(table)
            header, *rows, last = function_rows(case)
            self.assertEqual(tuple(header), ("function", "calls", "bytecodes"))
            self.assertTrue(rows[0][0].startswith("``decorator."), rows[0])
            for column in (1, 2):
                self.assertEqual(int(last[column]), sum(int(row[column]) for row in rows))

    def test_they_are_the_same_each_time(self) -> None:
        """The bytecodes of a request are no matter of chance."""
        once, again = (list(function_rows(decorated("deferred"))) for _ in range(2))
        self.assertEqual(once, again)


class ProgramTests(SynchronousTestCase):
    """The programs."""

    def test_the_costs(self) -> None:
        """A tiny run writes all the files that the page includes, with a row for each step."""
        find_program("valgrind", "apt-get install valgrind")
        with TemporaryDirectory() as directory:
            tiny = ("--rounds", "2", "--requests", "1", "--seeds", "1", "--directory", directory)
            finished = run("costs.py", *tiny)
            self.assertEqual((finished.returncode, finished.stderr), (0, ""))
            written = {path.name for path in Path(directory).iterdir()}
            self.assertEqual(written, {path.name for path in TABLES.iterdir()} - {"ratios.csv"})
            for name, steps in STEPS.items():
                with Path(directory, f"{name}.csv").open(newline="") as file:
                    rows = list(csv.reader(file))
                found = [row[0].replace("``", "`") for row in rows[1:]]
                self.assertEqual(found, [step.name for step in steps])

    def test_the_growth(self) -> None:
        """A tiny run prints a line for each handler and each number of waiting requests."""
        tiny = ("--rounds", "1", "--closed", "3", "--held", "3", "--open", "1", "3")
        finished = run("growth.py", *tiny)
        self.assertEqual((finished.returncode, finished.stderr), (0, ""))
        for name in MAKERS:
            lines = [line for line in finished.stdout.splitlines() if line.startswith(f"| {name}")]
            self.assertEqual([line.split(" | ")[1] for line in lines], ["1", "3"])


class GrowthTests(SynchronousTestCase):
    """Requests that wait while others come and go."""

    def test_they_wait_and_are_stopped(self) -> None:
        """They wait beside a request that is answered, and are all closed when their clients go."""
        for make in MAKERS.values():
            contender = Contender.of(make, Stage.end_work)
            waiting = wait(contender, 3)
            connection = contender.connect()
            contender.complete(connection, 1)
            self.assertEqual([each.status for each in answers(connection, 1)], [200])
            leave(waiting)
            self.assertEqual([each.received() for each in waiting], [b""] * 3)

    def test_what_is_held_is_noticed(self) -> None:
        """What cancelweb's own code keeps for each request is counted, and nothing else."""
        held = memory(100)
        self.assertGreater(held, 100)
        kept = list[bytes]()

        def begin(stage: Stage) -> Deferred[bytes]:
            kept.append(bytes(100_000))
            return real(stage)

        real = Stage.begin
        self.patch(Stage, "begin", begin)
        self.assertLess(memory(100), 2 * held)
        self.assertEqual(len(kept), 200)

    def test_the_memory_has_a_target(self) -> None:
        """450 bytes are let pass, and no more."""
        self.assertIn("| 450 | ≤ 450 | yes |", memory_table(450, 10))
        self.assertIn("| 451 | ≤ 450 | **no** |", memory_table(451, 10))

    def test_ratios_are_to_the_fewest(self) -> None:
        """The ratios of a handler are to its own first line."""
        shown = growth_table([Growth("one", 1, 10.0, 4.0), Growth("one", 1000, 11.0, 5.0)])
        self.assertEqual(
            shown.splitlines()[2:],
            [
                "| one | 1 | 10.0 | 1.000 | 4.0 | 1.000 |",
                "| one | 1,000 | 11.0 | 1.100 | 5.0 | 1.250 |",
            ],
        )

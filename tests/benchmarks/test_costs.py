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
    CAREFUL,
    MAKERS,
    STORM,
    CountingStage,
    Growth,
    growth_table,
    leave,
    memory,
    memory_table,
    storm,
    storm_table,
    time_leaving,
    wait,
)
from handlers import BODY, NotifiedDeferred, Stage  # noqa: E402
from report import README, TABLES, columns, report_in  # noqa: E402
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
                    found = [(each.code, each.body) for each in answers(connection, 2)]
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
        """Functions of the decorated handler come first, each with calls and bytecodes."""
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
        """A tiny run prints lines for requests that wait, and for requests whose clients leave."""
        tiny = "--rounds 1 --closed 3 --held 3 --open 1 3 --leaving 3 --storms 2"
        finished = run("growth.py", *tiny.split())
        self.assertEqual((finished.returncode, finished.stderr), (0, ""))
        _, grown, stormy, *_ = finished.stdout.split("\n\n")
        rows = [(row["handler"], row["requests open"]) for row in columns(grown)]
        self.assertEqual(rows, [(name, open) for name in MAKERS for open in ("1", "3")])
        self.assertEqual([row["handler"] for row in columns(stormy)], [*STORM])


class GrowthTests(SynchronousTestCase):
    """Requests that wait while others come and go."""

    def test_they_wait_and_are_stopped(self) -> None:
        """Requests wait beside one that is answered, and are closed when their clients leave."""
        for make in MAKERS.values():
            contender = Contender.of(make, Stage.end_work)
            waiting = wait(contender, 3)
            connection = contender.connect()
            contender.complete(connection, 1)
            self.assertEqual([each.code for each in answers(connection, 1)], [200])
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


class StormTests(SynchronousTestCase):
    """Requests whose clients all leave at once."""

    def test_all_are_stopped(self) -> None:
        """The work of each handler waits until the clients leave, and then no more."""
        for name, (make, _) in STORM.items():
            stage = CountingStage()
            waiting = wait(Contender(make(stage), stage, None), 3)
            self.assertEqual(stage.waiting, 3, name)
            leave(waiting)
            self.assertEqual(stage.waiting, 0, name)

    def test_what_is_not_stopped_is_an_error(self) -> None:
        """A handler that leaves work running is not timed."""
        with self.assertRaisesRegex(SystemExit, "^3 of 3 requests waited, 3 were not stopped$"):
            time_leaving(NotifiedDeferred, 3)

    def test_each_round_has_all(self) -> None:
        """In each round the clients of each handler leave once."""
        self.assertEqual([len(each) for each in storm(2, 3).values()], [3] * len(STORM))

    def test_ratios_are_of_the_same_round(self) -> None:
        """The time of each round is compared with the careful handler's in it."""
        silent, default = "cancelweb, no log", "cancelweb, default options"
        taken = {CAREFUL: [10.0, 100.0], silent: [11.0, 110.0], default: [12.0, 160.0]}
        shown = storm_table(taken, 20_000)
        self.assertEqual(
            shown.splitlines()[2:5],
            [
                f"| {CAREFUL} | 55 | 1.00 (1.00 to 1.00) |  |  |",
                f"| {silent} | 60 | 1.10 (1.10 to 1.10) | ≤ 1.10 | yes |",
                f"| {default} | 86 | 1.40 (1.30 to 1.50) | ≤ 1.30 | **no** |",
            ],
        )

    def test_the_docs_have_what_the_readme_says(self) -> None:
        """Each target and each ratio in the README is in the page of the costs."""
        page = TABLES.with_suffix(".rst").read_text()
        _, _, stormy, *_ = report_in(README.read_text(), "growth.py").split("\n\n")
        careful, *rows = columns(stormy)
        self.assertEqual(careful["handler"], CAREFUL)
        for row in rows:
            name, target = row["handler"].replace("`", "``"), row["target"].removeprefix("≤ ")
            ratio, *_ = row[f"by that of {CAREFUL}"].split()
            self.assertIn(f'"{name}", "{target}", "{ratio}"', page)

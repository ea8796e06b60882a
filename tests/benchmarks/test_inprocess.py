"""The benchmarks compare handlers that do the same, and the program that measures them runs.

What belongs here: the contenders' behaviour and the program's output. What does not: any time.
"""

import csv
import gc
import subprocess
import sys
from collections.abc import Iterator

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from cancelweb import Scope, cancel_on_disconnect, scope_of
from cancelweb.testing import Response
from cancelweb.testing._responses import parse

from .._servers import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
sys.path.append(str(BENCHMARKS))

from cases import CASES  # noqa: E402
from contenders import REQUEST, Connection, Contender  # noqa: E402
from handlers import BODY, DeferredByHand, Page, Stage  # noqa: E402
from inprocess import NOTHING, PROGRAM, time_row  # noqa: E402
from measure import Leftovers, Timing, find_leftovers, no_collector  # noqa: E402
from pythons import (  # noqa: E402
    RATIOS,
    SIDE_BY_SIDE,
    cell,
    for_docs,
    on_python,
    pythons_of,
    ratios_in,
    side_by_side,
)
from report import (  # noqa: E402
    END,
    README,
    Spread,
    begin,
    report_in,
    table,
    verdict,
    with_report,
)

ARGUMENTS = ("--rounds", "2", "--requests", "1", "--leftovers", "3")


def contenders(*, abandoned: bool) -> Iterator[tuple[str, Contender]]:
    """The contenders of the cases whose clients leave, or of the cases whose clients wait."""
    for case in CASES:
        if case.is_abandoned is abandoned:
            yield f"{case.name}: ours", case.ours()
            yield f"{case.name}: theirs", case.theirs()


def answers(connection: Connection, number: int) -> list[Response]:
    """What has come for so many requests."""
    return parse(connection.received(), [b"GET"] * number, at_end=False)[0]


class ContenderTests(SynchronousTestCase):
    """All that is compared."""

    def test_all_answer_alike(self) -> None:
        """Each contender answers each of some requests with the page, and nothing still runs."""
        for name, contender in contenders(abandoned=False):
            connection = contender.connect()
            contender.complete(connection, 3)
            found = [(each.code, each.body) for each in answers(connection, 3)]
            self.assertEqual(found, [(200, BODY)] * 3, name)
            self.assertEqual(contender.stage.running(), 0, name)

    def test_both_of_a_pair_send_the_same(self) -> None:
        """Both contenders of a case send the same headers; only Klein sends the page in chunks."""
        for case in CASES:
            ours, theirs = (self.answer(each) for each in (case.ours(), case.theirs()))
            if case.against == "Klein":
                ours, theirs = (evolve(each, headers=Headers()) for each in (ours, theirs))
            self.assertEqual(ours, theirs, case.name)

    def answer(self, contender: Contender) -> Response:
        """What it answers to one request."""
        connection = contender.connect()
        contender.complete(connection, 1)
        [answer] = answers(connection, 1)
        return answer

    def test_all_are_cancelled(self) -> None:
        """Where clients leave, the work runs until they do, and nothing is sent to them."""
        for name, contender in contenders(abandoned=True):
            connection = contender.connect()
            connection.send(REQUEST)
            self.assertEqual(contender.stage.running(), 1, name)
            connection.leave()
            self.assertEqual(contender.stage.running(), 0, name)
            self.assertEqual(connection.received(), b"", name)

    def test_all_survive_being_abandoned(self) -> None:
        """Of requests abandoned on many connections none is left running, and none is an error."""
        for name, contender in contenders(abandoned=True):
            contender.abandon([contender.connect() for _ in range(3)])
            self.assertEqual(contender.stage.running(), 0, name)
            self.assertEqual(self.flushLoggedErrors(), [], name)

    def test_scopes_are_closed_where_the_clock_stops(self) -> None:
        """When an abandoned request's time is taken, its scope has closed."""
        for case in CASES:
            if case.is_abandoned:
                contender, seen = case.ours(), list[Scope]()
                contender.request_factory = self.noting(seen)
                contender.abandon([contender.connect()])
                self.assertEqual([scope.request for scope in seen], [None], case.name)

    def noting(self, seen: list[Scope]) -> type[Request]:
        """Requests that tell their scopes."""

        class NotingRequest(Request):
            def render(self, resource: object) -> None:
                super().render(resource)
                seen.append(scope_of(self))

        return NotingRequest


class FailingPage(DeferredByHand):
    """The careful handler, of work whose end the test chooses."""

    def begin(self) -> Deferred[bytes]:
        """Begin some work that fails when it is cancelled."""
        self.work: Deferred[bytes] = Deferred(lambda _: self.work.errback(ZeroDivisionError()))
        return self.work


class CarefulHandlerTests(SynchronousTestCase):
    """The handler that is called careful is careful."""

    def setUp(self) -> None:
        """Serve a page."""
        stage = Stage()
        self.page = FailingPage(stage)
        self.connection = Contender(self.page, stage, None).connect()
        self.connection.send(REQUEST)

    def test_it_answers_failures(self) -> None:
        """Work that fails is answered with 500, and logged."""
        self.page.work.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([each.code for each in answers(self.connection, 1)], [500])

    def test_it_answers_what_cannot_be_sent(self) -> None:
        """A result that is not bytes is answered with 500."""
        self.page.work.callback(None)  # type: ignore[arg-type]
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual([each.code for each in answers(self.connection, 1)], [500])

    def test_it_logs_failures_after_the_client_has_left(self) -> None:
        """Work that fails when it is cancelled is logged, once, and nothing is sent."""
        self.connection.leave()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.connection.received(), b"")


class LeftoverTests(SynchronousTestCase):
    """What is said to be left behind."""

    def test_nothing_is_left(self) -> None:
        """No case of cancelweb leaves garbage, a scope, or a request behind."""
        for case in CASES:
            left = find_leftovers(case.ours(), 3, case.is_abandoned)
            self.assertEqual(left, NOTHING, case.name)

    def test_requests_and_scopes_are_noticed(self) -> None:
        """A page that keeps its requests, and so their scopes, is found out."""
        kept: list[object] = []

        class Keeper(Page):
            @cancel_on_disconnect
            def render_GET(self, request: Request) -> bytes:
                kept.append(request)
                return BODY

        stage = Stage()
        left = find_leftovers(Contender(Keeper(stage), stage, None), 3, False)
        self.assertEqual((left.scopes, left.requests), (3, 3))

    def test_garbage_is_noticed(self) -> None:
        """A page that makes one reference cycle a request is found out."""

        class Cycles(Page):
            def render_GET(self, request: Request) -> bytes:
                cycle: list[object] = []
                cycle.append(cycle)
                return BODY

        stage = Stage()
        left = find_leftovers(Contender(Cycles(stage), stage, None), 3, False)
        self.assertEqual(left, Leftovers(garbage=3, scopes=0, requests=0))

    def test_the_collector_is_turned_on_again(self) -> None:
        """The garbage collector is off while something is measured, and on afterwards."""
        with no_collector():
            self.assertFalse(gc.isenabled())
        self.assertTrue(gc.isenabled())
        self.assertEqual(gc.get_freeze_count(), 0)


class ProgramTests(SynchronousTestCase):
    """The program."""

    def test_it_tells_of_every_case(self) -> None:
        """A tiny run prints a line for each case in both tables, and its own command line."""
        run = subprocess.run(
            [sys.executable, "benchmarks/inprocess.py", *ARGUMENTS],
            capture_output=True,
            cwd=BENCHMARKS.parent,
            text=True,
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        lines = run.stdout.splitlines()
        self.assertIn(f"`python benchmarks/inprocess.py {' '.join(ARGUMENTS)}`", lines[0])
        for case in CASES:
            self.assertEqual([line.startswith(f"| {case.name} |") for line in lines].count(True), 2)

    def test_the_report_is_put_in_its_place(self) -> None:
        """What was between a program's marks in the README is replaced, and nothing else."""
        ours, other = begin("our.py"), begin("other.py")
        text = f"before\n{other}\nkept\n{END}\n{ours}\nold\n{END}\nafter\n"
        self.assertEqual(
            with_report(text, "our.py", "new"),
            f"before\n{other}\nkept\n{END}\n{ours}\n\nnew\n\n{END}\nafter\n",
        )

    def test_the_report_is_found(self) -> None:
        """What a program has written is found between its marks."""
        text = with_report(f"{begin('our.py')}{END}", "our.py", "new")
        self.assertEqual(report_in(text, "our.py"), "new")

    def test_a_report_without_a_place(self) -> None:
        """Where the README has no place for a report, the program says what mark to put there."""
        with self.assertRaisesRegex(SystemExit, f"no place for our.py.*: {begin('our.py')}{END}"):
            with_report("before", "our.py", "new")

    def test_the_readme_has_a_place_for_the_reports(self) -> None:
        """The README in the repository has each mark once, and reports of 3.11 there."""
        text = README.read_text()
        for program in (PROGRAM, "instructions.py"):
            self.assertEqual(pythons_of(text, program), ["3.11", "3.12", "3.13"])
            for python in pythons_of(text, program):
                self.assertEqual(text.count(begin(on_python(program, python))), 1)
            made = f"Made with `python benchmarks/{program}"
            self.assertIn(made, report_in(text, on_python(program, "3.11")))
        self.assertIn("Made with `python benchmarks/growth.py", report_in(text, "growth.py"))


class SideBySideTests(SynchronousTestCase):
    """The ratios of all Pythons in one table."""

    def reports(self, ratios: dict[str, str]) -> str:
        """A README with a ratio of the first case for each place; with "" for an empty place."""
        text = ""
        for place, ratio in ratios.items():
            rows = [(CASES[0].name, ratio)] if ratio else []
            report = f"Made so.\n\n{table(('case', 'ratio'), rows)}" if ratio else ""
            text = with_report(f"{text}{begin(place)}{END}\n", place, report)
        return text

    def test_each_python_has_a_column_of_each_program(self) -> None:
        """The columns are in the order of the README, with nothing where there is no table."""
        text = self.reports(
            {
                on_python("inprocess.py", "3.11"): "1.060 (1.000 to 1.100)",
                on_python("instructions.py", "3.11"): "1.021",
                on_python("instructions.py", "3.12"): "",
            }
        )
        header, _, first, second, *_ = side_by_side(text).splitlines()
        self.assertIn("| instructions, at most | 3.11 | 3.12 | time, at most | 3.11 |", header)
        self.assertTrue(first.endswith("| 1.02 | **1.021** |  | 1.06 | 1.060 |"), first)
        self.assertTrue(second.endswith("| 0.98 |  |  | 1.04 |  |"), second)

    def test_a_ratio_above_its_target_is_bold(self) -> None:
        """A ratio above its target is bold; one that meets it, or has none, is plain."""
        self.assertEqual(cell(1.021, 1.02), "**1.021**")
        self.assertEqual(cell(1.02, 1.02), "1.020")
        self.assertEqual(cell(9.0, None), "9.000")

    def test_the_readme_has_what_its_tables_say(self) -> None:
        """The table of all Pythons is as `python benchmarks/pythons.py` would write it."""
        text = README.read_text()
        self.assertEqual(report_in(text, SIDE_BY_SIDE), side_by_side(text))

    def test_the_docs_have_the_same(self) -> None:
        """The docs have the ratios of that table, as `python benchmarks/pythons.py` writes them."""
        with RATIOS.open(newline="") as file:
            self.assertEqual(
                [*csv.reader(file)], for_docs(report_in(README.read_text(), SIDE_BY_SIDE))
            )

    def test_ratios_are_those_of_the_first_table(self) -> None:
        """A second table of the same cases, which has no ratios, is not read."""
        report = "\n\n".join(["Made so.", table(("case", "ratio"), [("one", "1.5 (1 to 2)")])])
        more = table(("case", "garbage"), [("one", "0")])
        self.assertEqual(ratios_in(f"{report}\n\n{more}"), {"one": 1.5})
        self.assertEqual(ratios_in(""), {})


class SpreadTests(SynchronousTestCase):
    """A median and its quartiles."""

    def test_of_some(self) -> None:
        """The quartiles are those of the samples."""
        self.assertEqual(Spread.of([3.0, 2.0, 4.0]), Spread(2.5, 3.0, 3.5))

    def test_of_one(self) -> None:
        """A single sample has no spread."""
        self.assertEqual(Spread.of([3.0]), Spread(3.0, 3.0, 3.0))


class VerdictTests(SynchronousTestCase):
    """Whether targets are met."""

    def test_a_ratio(self) -> None:
        """A ratio may be as high as the target, as it is shown, and no higher."""
        self.assertEqual(verdict(1.1004, 1.1), ("≤ 1.10", "yes"))
        self.assertEqual(verdict(1.1006, 1.1), ("≤ 1.10", "**no**"))

    def test_no_target(self) -> None:
        """Where there is no target there is nothing to meet."""
        self.assertEqual(verdict(9.0, None), ("", ""))

    def test_the_time_is_judged(self) -> None:
        """A case's time is compared with its target for time."""
        [case] = [each for each in CASES if each.name == "coroutine of Klein"]
        one = Spread(0.57, 0.57, 0.57)
        row = time_row(case, Timing(theirs=one, ours=one, ratio=one, extra=one))
        self.assertEqual(row[-2:], ("≤ 0.56", "**no**"))

"""The benchmarks over sockets and at scale credit a contender with what it has done, and no more.

What belongs here: that these programs run, that their tables are whole, and that what was not done
is found out. What does not: any time.
"""

import resource
import socket
import subprocess
import sys
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import Scope, cancel_on_disconnect

from .._servers import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
sys.path.append(str(BENCHMARKS))

import children  # noqa: E402
import crowd  # noqa: E402
import load  # noqa: E402
import soak  # noqa: E402
import sockets  # noqa: E402
import traffic  # noqa: E402
import waiting  # noqa: E402
from comparison import Target, comparison  # noqa: E402
from handlers import BODY, Page, Stage, log_to_nobody  # noqa: E402
from report import END, begin  # noqa: E402
from roster import ROSTER, chosen  # noqa: E402

HEAD = b"HTTP/1.1 200 OK\r\n"


Table = list[list[str]]


def run(program: str, *arguments: str) -> tuple[str, list[Table]]:
    """Run a program; returns all that it prints, and the cells of its tables."""
    command = [sys.executable, f"benchmarks/{program}", *arguments]
    done = subprocess.run(command, capture_output=True, cwd=BENCHMARKS.parent, text=True)
    if done.returncode or done.stderr:
        raise AssertionError(f"{program} failed:\n{done.stdout}\n{done.stderr}")
    parts = [part.splitlines() for part in done.stdout.split("\n\n") if part.startswith("|")]
    return done.stdout, [[line.split("|")[1:-1] for line in part] for part in parts]


def column(table: Table, name: str) -> dict[str, str]:
    """A column of a table, by what stands in the first."""
    at = [cell.strip() for cell in table[0]].index(name)
    return {line[0].strip(): line[at].strip() for line in table[2:]}


class ProgramTests(SynchronousTestCase):
    """The programs, with next to nothing to do."""

    def assert_whole(self, tables: list[Table]) -> None:
        """Every line of a table has as many cells as its header."""
        for table in tables:
            self.assertEqual({len(line) for line in table}, {len(table[0])}, table)

    def titles(self, names: list[str]) -> list[str]:
        """What the tables call some contenders."""
        return [ROSTER[name].title for name in names]

    def test_sockets(self) -> None:
        """Every contender answers, all but bare Twisted are left, and each target is judged."""
        arguments = ["--rounds", "1", "--connections", "3", "--milliseconds", "30", "--probes", "2"]
        printed, tables = run("sockets.py", *arguments)
        self.assertIn(f"`python benchmarks/sockets.py {' '.join(arguments)}`", printed)
        self.assert_whole(tables)
        requests, request_targets, leaving, leaving_targets = tables
        self.assertEqual(list(column(requests, "contender")), self.titles(chosen(ROSTER)))
        left = chosen(ROSTER, cancelling=True)
        self.assertEqual(list(column(leaving, "contender")), self.titles(left))
        self.assertEqual(len(request_targets), 2 + 2 * len(sockets.THROUGHPUT))
        self.assertEqual(len(leaving_targets), 2 + len(sockets.LATENCY[sockets.IDLE]))

    def test_waiting(self) -> None:
        """All who wait are stopped when they leave, by everyone but bare Twisted."""
        arguments = "--rounds 1 --waiting 60 --leaving 70 --contenders bare starlette wrapped"
        _, tables = run("waiting.py", *arguments.split())
        self.assert_whole(tables)
        memory, storm, storm_targets = tables
        bare, *titles = self.titles(["bare", "recipe", "careful", "starlette", "wrapped"])
        stopped = {bare: "0"} | dict.fromkeys(titles, "60")
        self.assertEqual(column(memory, "stopped when all left"), stopped)
        self.assertEqual(column(storm, "stopped"), dict.fromkeys(titles, "70"))
        judged = [[cell.strip() for cell in line[:3]] for line in storm_targets[2:]]
        recipe, careful, wrapped = self.titles(["recipe", "careful", "wrapped"])
        self.assertEqual(
            judged,
            [[waiting.UNTIL_STOPPED, wrapped, careful], [waiting.STALL, wrapped, recipe]],
        )

    def test_soak(self) -> None:
        """One in three requests is abandoned, the others are answered; nothing is left."""
        _, [table] = run("soak.py", "--requests", "120", "--early", "60")
        self.assert_whole([table])
        found = column(table, "found")
        self.assertEqual(found["requests answered"], "80")
        self.assertEqual(found["requests abandoned and stopped"], "40")
        self.assertEqual((found["scopes alive"], found["requests alive"]), ("0", "0"))
        self.assertEqual(column(table, "met")["all"], "yes")

    def test_the_readme_has_a_place_for_each(self) -> None:
        """The README has the mark of each program, once, and an end behind it."""
        text = (BENCHMARKS / "README.md").read_text()
        for program in ("sockets.py", "waiting.py", "soak.py"):
            _, after = text.split(begin(program))
            self.assertNotIn("<!-- written by", after.partition(END)[0])
            self.assertIn(END, after)


class CreditTests(SynchronousTestCase):
    """What was not done."""

    def setUp(self) -> None:
        """Have little patience."""
        self.patch(children, "PATIENCE", 0.3)

    def server(self, name: str) -> children.Server:
        """A contender, which ends with the test."""
        self.patch(children, "PATIENCE", 20)
        server = children.Server(name)
        self.addCleanup(server.kill)
        self.patch(children, "PATIENCE", 0.3)
        return server

    def test_who_cancels_nothing_is_not_timed(self) -> None:
        """To wait for bare Twisted to stop work is an error, and no figure."""
        with self.assertRaisesRegex(ChildProcessError, "has not answered"):
            traffic.measure_idle(self.server("bare"), 2)

    def test_who_cancels_nothing_has_no_storm(self) -> None:
        """To wait for bare Twisted to stop all its work is an error, and no figure."""
        server = self.server("bare")
        self.patch(crowd, "Server", lambda _: server)
        self.patch(children, "PATIENCE", 5)
        with self.assertRaisesRegex(ChildProcessError, "has not come further"):
            crowd.measure_storm("bare", 3)

    def test_work_that_nobody_did_is_no_credit(self) -> None:
        """Fewer or more completions than responses are an error."""
        before, after = {"begun": 1, "completed": 1}, {"begun": 5, "completed": 4}
        with self.assertRaisesRegex(ChildProcessError, "begun 3, and not 4"):
            traffic.expect("it", after, before, "completed", 3)
        with self.assertRaisesRegex(ChildProcessError, "completed 4, and not 3"):
            traffic.expect("it", after, before, "completed", 4)

    def test_a_child_that_dies_is_no_figure(self) -> None:
        """A contender that does not exist is an error."""
        self.patch(children, "PATIENCE", 20)
        self.patch(subprocess, "Popen", self.silenced(subprocess.Popen))
        with self.assertRaisesRegex(ChildProcessError, "has died"):
            children.Server("nobody")

    def silenced(self, start: Callable[..., object]) -> Callable[..., object]:
        """Start a process whose errors nobody sees."""
        return lambda *args, **options: start(*args, **options, stderr=subprocess.DEVNULL)

    def test_as_many_clients_as_there_are_descriptors(self) -> None:
        """The limit of open files is raised as far as it goes, and no more clients are made."""
        limits: list[tuple[int, int]] = []
        self.patch(resource, "getrlimit", lambda _: (64, 1000))
        self.patch(resource, "setrlimit", lambda _, limit: limits.append(limit))
        self.assertEqual(crowd.possible(5000), 1000 - crowd.SPARE)
        self.assertEqual(crowd.possible(500), 500)
        self.assertEqual(limits, [(1000, 1000)] * 2)

    def test_crowds_are_spread_over_processes(self) -> None:
        """No process is filled with more clients than it can hold."""
        self.assertEqual(crowd.sizes(20_000), [10_000, 10_000])
        self.assertEqual(crowd.sizes(10_001), [10_000, 1])
        self.assertEqual(crowd.sizes(60), [60])


class ClientTests(SynchronousTestCase):
    """The clients know what is a whole response, and what is none."""

    def receive(self, response: bytes) -> bytes:
        """What a client gets from a server that answers so, and closes."""
        client, server = socket.socketpair()
        with client, server:
            server.sendall(response)
            server.shutdown(socket.SHUT_WR)
            return load.receive(client)

    def test_whole_responses(self) -> None:
        """With Content-Length and in chunks, a response is whole when the last byte is there."""
        chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        for response in (HEAD + b"content-length: 3\r\n\r\nabc", chunked):
            self.assertTrue(load.is_complete(response))
            for end in range(len(HEAD), len(response)):
                self.assertFalse(load.is_complete(response[:end]), response[:end])

    def test_errors_are_no_responses(self) -> None:
        """Any status but 200 is an error."""
        self.assertRaises(ValueError, self.receive, b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    def test_half_responses_are_none(self) -> None:
        """A server that leaves early is an error."""
        self.assertRaises(ConnectionError, self.receive, HEAD + b"Content-Length: 3\r\n\r\na")


class KeepingPage(Page):
    """A page that keeps its requests."""

    kept: list[object]

    @cancel_on_disconnect
    def render_GET(self, request: Request) -> bytes:
        self.kept.append(request)
        return BODY


class LeakTests(SynchronousTestCase):
    """What a soak brings to light."""

    def test_what_is_kept_is_noticed(self) -> None:
        """Requests and scopes that are kept are counted, and memory grows."""
        log_to_nobody()
        kept: list[object] = []

        def make_root(stage: Stage) -> KeepingPage:
            page = KeepingPage(stage)
            page.kept = kept
            return page

        self.patch(soak, "KINDS", ((make_root, None),))
        self.patch(soak, "EACH", 1_000_000)
        # Another test may have kept some.
        scopes, requests = soak.alive(Scope), soak.alive(Request)
        found = soak.soak(20, 10)
        self.assertEqual(found.completed, 20)
        self.assertEqual((found.scopes - scopes, found.requests - requests), (20, 20))
        self.assertGreater(found.growth(10), soak.AT_MOST)


class TargetTests(SynchronousTestCase):
    """Whether targets are met."""

    def row(self, target: Target, ours: list[float], theirs: list[float]) -> str:
        """The line of a table."""
        found = {target.ours: ours, target.theirs: theirs}
        return comparison({"figure": found}, {"figure": [target]}).splitlines()[-1]

    def test_a_ratio_is_the_median_of_those_of_the_rounds(self) -> None:
        """Each round's figures are compared with those of the same round."""
        row = self.row(Target("deferred", "careful"), [2, 30, 40], [1, 10, 10])
        self.assertIn("3.000 (2.500 to 3.500)", row)

    def test_one_round_has_no_spread(self) -> None:
        """The quartiles of one ratio are that ratio."""
        self.assertIn("3.000 (3.000 to 3.000)", self.row(Target("deferred", "careful"), [3], [1]))

    def test_at_most(self) -> None:
        """A ratio may be as high as the target, and no higher."""
        target = Target("deferred", "careful", at_most=1.05)
        self.assertIn("| ≤ 1.05 | yes |", self.row(target, [1.05, 1.05], [1, 1]))
        self.assertIn("| ≤ 1.05 | **no** |", self.row(target, [1.06, 1.06], [1, 1]))

    def test_at_least(self) -> None:
        """A ratio may be as low as the target, and no lower."""
        target = Target("deferred", "careful", at_least=1.8)
        self.assertIn("| ≥ 1.80 | yes |", self.row(target, [1.8, 1.8], [1, 1]))
        self.assertIn("| ≥ 1.80 | **no** |", self.row(target, [1.7, 1.7], [1, 1]))

    def test_who_did_not_compete_is_left_out(self) -> None:
        """A target for who was not measured has no line."""
        found = {"careful": [1.0, 1.0]}
        targets = {"figure": [Target("deferred", "careful")]}
        lines = comparison({"figure": found}, targets).splitlines()
        self.assertEqual(len(lines), 2)

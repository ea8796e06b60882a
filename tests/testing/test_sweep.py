"""The sweep leaves at every point at which a handler waits, and tells where."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.defer import (
    Deferred,
    fail,
    inlineCallbacks,
    succeed,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from cancelweb.testing import Problem, sweep

from .._servers import REPOSITORY
from ._sweeps import Handler, SweepTestCase, resource, sleep, two_waits


class PointTests(SweepTestCase):
    """The points at which a sweep leaves."""

    def lines(self, handler: Handler, **options: Any) -> list[tuple[int, bool]]:
        """Of each point the line, counted from the handler's first, and whether it was forced."""
        report = sweep(resource(handler), beside=False, **options)
        first = handler.__code__.co_firstlineno
        return [(each.lines[0].number - first, each.is_forced) for each in report.points]

    def test_awaits(self) -> None:
        """A sweep leaves at each `await` that waits, in order."""
        self.assertEqual(self.lines(two_waits), [(2, False), (3, False)])

    def test_forced(self) -> None:
        """A sweep also leaves at each `await` of a fired Deferred, and marks that as forced."""

        async def handler(request: Request, clock: Clock) -> bytes:
            await succeed(None)
            await sleep(clock)
            await succeed(None)
            return b"done"

        self.assertEqual(self.lines(handler), [(1, True), (2, False), (3, True)])
        self.assertEqual(self.lines(handler, forced=False), [(2, False)])

    def test_yields(self) -> None:
        """Under `inlineCallbacks`, a sweep leaves at each `yield`."""

        def handler(request: Request, clock: Clock) -> Generator[Any, Any, bytes]:
            assert (yield succeed(1)) == 1
            yield sleep(clock)
            with contextlib.suppress(ValueError):
                yield fail(ValueError())
            return b"done"

        wrapped: Any = inlineCallbacks(handler)
        report = sweep(resource(wrapped), beside=False)
        first = handler.__code__.co_firstlineno
        found = [(each.lines[0].number - first, each.is_forced) for each in report.points]
        self.assertEqual(found, [(1, True), (2, False), (4, True)])

    def test_nested(self) -> None:
        """A point has the innermost line that waits."""

        async def inner(clock: Clock) -> None:
            await sleep(clock)

        async def handler(request: Request, clock: Clock) -> bytes:
            await inner(clock)
            return b""

        (point, _) = sweep(resource(handler)).points
        self.assertEqual(point.lines[0].function.rpartition(".")[2], "inner")
        self.assertIn("test_sweep.py", str(point))
        self.assertIn("await sleep(clock)", str(point))

    def test_async_generator(self) -> None:
        """The lines of a report include those of a stream."""

        async def chunks(clock: Clock) -> AsyncIterator[bytes]:
            yield b"one"
            await sleep(clock)
            yield b"two"

        report = sweep(resource(lambda request, clock: chunks(clock)))
        self.assertIn("chunks", [each.function.rpartition(".")[2] for each in report.lines])

    def test_stream_that_waits_for_its_client(self) -> None:
        """Where a stream waits for its client, the point is at the line of the `yield`."""

        async def chunks(request: Request, clock: Clock) -> AsyncIterator[bytes]:
            yield b"one"
            await sleep(clock)

        def plain_chunks(request: Request, clock: Clock) -> Iterator[bytes]:
            yield b"one"

        self.assertEqual(self.lines(chunks), [(1, False), (2, False)])
        self.assertEqual(self.lines(plain_chunks), [(1, False)])

    def test_stream_of_no_generator(self) -> None:
        """Where Python cannot tell a stream's line, the point has the next call on the clock."""
        (point,) = sweep(resource(lambda request, clock: iter([b"one"])), beside=False).points
        self.assertEqual(point.lines, ())
        self.assertIn("due in 0 s", str(point))

    def test_callbacks(self) -> None:
        """A handler of callbacks is left before each step of the clock, with the next call."""

        def handler(request: Request, clock: Clock) -> Deferred[bytes]:
            return sleep(clock, 1).addCallback(lambda _: sleep(clock, 2)).addCallback(lambda _: b"")

        points = sweep(resource(handler), beside=False).points
        self.assertEqual([each.seconds for each in points], [0, 1])
        self.assertEqual([each.lines for each in points], [(), ()])
        self.assertIn("Deferred.callback, due in 2 s", str(points[1]))

    def test_beside(self) -> None:
        """The last pass of a sweep has a second client."""
        points = sweep(resource(two_waits)).points
        self.assertEqual([each.is_beside for each in points], [False] * 2 + [True] * 3)

    def test_nothing_to_wait_for(self) -> None:
        """A handler that never waits has no points."""
        report = sweep(resource(lambda request, clock: b"at once"))
        self.assertEqual((report.points, report.is_complete), ((), True))

    def test_other_request(self) -> None:
        """A sweep can make any request, and can be given a Site."""

        def handler(request: Request, clock: Clock) -> Any:
            content: Any = request.content
            self.assertEqual(content.read(), b"data")
            return sleep(clock).addCallback(lambda _: b"")

        def make(clock: Clock) -> Site:
            return Site(resource(handler)(clock), reactor=clock)

        report = sweep(make, lambda client: client.post(b"/x", b"data"))
        self.assertEqual(report.request, "POST /x")

    def test_deferred_is_left_as_it_was(self) -> None:
        """A sweep leaves Deferred and the temporary directory as they were before."""
        methods: Any = Deferred
        before = methods.addBoth, methods.__await__, tempfile.tempdir
        sweep(resource(two_waits))
        self.assertEqual((methods.addBoth, methods.__await__, tempfile.tempdir), before)

    def test_report(self) -> None:
        """A report begins with its counts, and has a part for each kind of point that there is."""
        text = str(sweep(resource(two_waits)))
        self.assertTrue(text.startswith("sweep of GET /: 5 points, 0 findings\nthe client left wh"))
        self.assertIn("another client waited", text)
        self.assertNotIn("forced", text)


class EndlessTests(SweepTestCase):
    """Requests that do not end."""

    def ticks(self, request: Request, clock: Clock) -> Iterator[bytes]:
        """A stream that goes on forever."""
        while True:
            yield b"tick"

    def test_is_reported(self) -> None:
        """A request that never ends is reported, with what to do about it."""
        handlers: list[Handler] = [self.ticks, lambda request, clock: Deferred()]
        for handler in handlers:
            report = self.failed(resource(handler), max_points=5)
            self.assertEqual(report.findings[-1].problem, Problem.ENDLESS)
            self.assertIn("There are more points", str(report))
            self.assertIn("endless=True", str(report))

    def test_may_be_meant(self) -> None:
        """With endless=True, a request that never ends is swept at its first points, and passes."""
        report = sweep(resource(self.ticks), endless=True, max_points=5, beside=False)
        self.assertEqual((len(report.points), report.is_complete), (5, False))


class ResourceTests(SweepTestCase):
    """What a sweep is given to ask."""

    def test_no_maker(self) -> None:
        """A resource in place of a function that makes one is refused, with what to write."""
        page: Any = Resource()
        error = self.assertRaises(TypeError, sweep, page)
        self.assertIn("such as lambda clock: Page(clock)", str(error))

    def test_no_request(self) -> None:
        """A request function that returns no request is refused, with what it must return."""
        request: Any = lambda client: None  # noqa: E731
        error = self.assertRaises(TypeError, sweep, resource(two_waits), request)
        self.assertIn("request must return an Exchange, as client.get does, not None", str(error))

    def test_tree(self) -> None:
        """A path below the root is swept."""

        def make(clock: Clock) -> Resource:
            root = Resource()
            root.putChild(b"page", resource(two_waits)(clock))
            return root

        self.assertEqual(sweep(make, b"/page").request, "GET /page")


class PytestTests(SynchronousTestCase):
    """Sweeps under pytest."""

    def test_failing_sweep(self) -> None:
        """A sweep that finds something fails its test, and pytest shows the report."""
        test = Path(self.mktemp() + "_test_it.py").resolve()
        test.write_text(
            "from twisted.web.resource import Resource\n"
            "from twisted.web.server import NOT_DONE_YET\n"
            "from cancelweb.testing import sweep\n"
            "class Page(Resource):\n"
            "    isLeaf = True\n"
            "    def __init__(self, clock):\n"
            "        self.clock = clock\n"
            "    def render_GET(self, request):\n"
            "        self.clock.callLater(5, request.finish)\n"
            "        return NOT_DONE_YET\n"
            "def test_it():\n"
            "    sweep(Page)\n"
        )
        path = [str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("left behind: on the clock: Request.finish, due in 5 s", done.stdout)
        self.assertIn("1 failed", done.stdout)

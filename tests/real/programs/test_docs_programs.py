"""The programs that the docs show do what the docs say, and log what they show.

What belongs here: running what lies in docs. What does not: the examples, which have tests of their
own.
"""

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from klein import Klein
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock, deferLater
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import CancellingResource, cancel_on_disconnect
from cancelweb.database import IInterruptible

from ..._docs import (
    ACQUIRE,
    ASYNCIO,
    DOCS,
    DRIVER,
    HOOKS,
    TRACK,
    TUTORIAL,
    as_pattern,
    directives,
    run,
    section,
    shown_log,
)
from ..._logs import log_events, of_cancelweb
from ..._servers import LOOPBACK, LoggedProcess, Server
from ..._sockets import SocketVisit
from ..._visits import connect

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class HowToTests(SynchronousTestCase):
    """The short programs of the how-tos."""

    def test_tracked_loop_stops_with_client(self) -> None:
        """The loop that is tracked beside a search is stopped when the client leaves."""
        before = reactor.getDelayedCalls()
        cancelled: list[Deferred[bytes]] = []
        found: Deferred[bytes] = Deferred(cancelled.append)
        connection = connect(run(TRACK.read_text())["Search"](lambda request: found))
        connection.get()
        self.assertEqual(len(reactor.getDelayedCalls()), len(before) + 1)
        connection.disconnect()
        self.assertEqual(cancelled, [found])
        self.assertEqual(reactor.getDelayedCalls(), before)

    def test_tracked_loop_stops_with_response(self) -> None:
        """The loop that is tracked beside a search is stopped when the search is answered."""
        before = reactor.getDelayedCalls()
        connection = connect(run(TRACK.read_text())["Search"](lambda request: succeed(b"found")))
        connection.get()
        self.assertEqual(connection.response.body, b"found")
        self.assertEqual(reactor.getDelayedCalls(), before)

    def test_eviction(self) -> None:
        """A cause of the user's own decides the status of the response."""
        requests: list[Request] = []

        def find(request: Request) -> Deferred[bytes]:
            requests.append(request)
            return Deferred()

        names = run(TRACK.read_text())
        connection = connect(names["Search"](find))
        connection.get()
        names["evict"](requests[0])
        self.assertEqual(connection.response.code, 429)
        self.assertIn("the quota is used up", str(names["QuotaUsedUp"]()))

    def test_hooks_of_an_export(self) -> None:
        """The hook of an export removes a part that was not sent when the client leaves."""
        parts: list[Path] = []
        later: Deferred[Path] = Deferred(lambda _: None)

        def write_part(number: int) -> Deferred[Path]:
            if number == 2:
                return later
            parts.append(Path(self.mktemp()))
            parts[-1].write_text(f"part {number}")
            return succeed(parts[-1])

        connection, events = connect(run(HOOKS.read_text())["Export"](write_part)), log_events(self)
        connection.get()
        connection.client.clock.pump([0] * 5)
        self.assertIn(b"part 1", connection.received)
        connection.disconnect()
        self.assertEqual([part.exists() for part in parts], [False, False])
        self.assertIn("export stopped: the client disconnected", formatEvent(events[0]) or "")

    def test_hooks_of_an_export_that_fails(self) -> None:
        """The hook of an export that fails is told about the failure."""

        def write_part(number: int) -> Deferred[Path]:
            return fail(OSError("the disk is full"))

        connection, events = connect(run(HOOKS.read_text())["Export"](write_part)), log_events(self)
        connection.get()
        self.assertIn("export failed: the disk is full", [formatEvent(each) for each in events])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_late_connection_returns_to_pool(self) -> None:
        """A connection that arrives after its client has left goes back to the pool."""
        pool = Pool()
        connection = connect(run(ACQUIRE.read_text())["Balance"](pool))
        connection.get()
        connection.disconnect()
        pool.arriving.callback(pool)
        self.assertEqual(pool.returned, [pool])

    def test_connection_in_time_is_used(self) -> None:
        """A connection that arrives in time is used, and returned once."""
        pool = Pool()
        connection = connect(run(ACQUIRE.read_text())["Balance"](pool))
        connection.get()
        pool.arriving.callback(pool)
        self.assertEqual(connection.response.body, b"12.50")
        self.assertEqual(pool.returned, [pool])

    def test_adapter_of_another_driver(self) -> None:
        """The how-to's adapter is found, stops the driver's connection, and knows its error."""
        cancelled: list[object] = []
        driver: Any = ModuleType("oracledb")
        driver.Error = type("Error", (Exception,), {})
        driver.Connection = type("Connection", (), {"cancel": lambda self: cancelled.append(self)})
        sys.modules["oracledb"] = driver
        self.addCleanup(sys.modules.pop, "oracledb")
        run(DRIVER.read_text())
        connection = driver.Connection()
        adapter = IInterruptible(connection)
        adapter.interrupt()
        self.assertEqual(cancelled, [connection])
        for code, is_ours in [("ORA-01013", True), ("ORA-00942", False)]:
            error = driver.Error(SimpleNamespace(full_code=code))
            self.assertEqual(adapter.is_interruption(error), is_ours)

    def test_decorated_view_of_framework(self) -> None:
        """A decorated view of Klein is answered at once, with an empty page."""
        app = Klein()

        def view(request: Request) -> Deferred[bytes]:
            return Deferred()

        app.route("/")(cast(Any, cancel_on_disconnect(view)))
        connection = connect(app.resource())
        connection.get()
        self.assertEqual((connection.response.code, connection.response.body), (200, b""))

    def test_log_of_dry_run(self) -> None:
        """A dry run logs the line that the how-to shows."""
        events = log_events(self)
        clock = Clock()

        class Slow(Resource):
            isLeaf = True

            def render_GET(self, request: Request) -> Any:
                return deferLater(clock, 5, lambda: b"page")

        connection = connect(CancellingResource(Slow(), dry_run=True), clock)
        connection.get(path=b"/slow.rpy")
        connection.disconnect()
        clock.advance(5)
        lines = [f"[cancelweb#info] {formatEvent(event)}" for event in of_cancelweb(events)]
        (shown,) = shown_log(section(DOCS / "howto" / "wrap.rst", "Try it without cancelling"))
        self.assertEqual(len(lines), 1)
        self.assertRegex(lines[0], f"^{as_pattern(shown)}$")


class Pool:
    """A pool of one connection, which is its own connection."""

    def __init__(self) -> None:
        self.arriving: Deferred[Any] = Deferred()
        self.returned: list[Any] = []

    def get(self) -> Deferred[Any]:
        """Ask for the connection."""
        return self.arriving

    def put(self, connection: Any) -> None:
        """Give the connection back."""
        self.returned.append(connection)

    async def balance(self) -> bytes:
        """Ask over the connection."""
        return b"12.50"


async def serve_pages(test: TestCase, pages: dict[str, str], *options: str) -> Server:
    """Serve these pages with `twist web` for the length of a test."""
    root = Path(test.mktemp()).resolve()
    for name, text in pages.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    command = ["-m", "twisted", *options, "--log-format=text", "web", "--path", str(root)]
    process = LoggedProcess()
    reactor.spawnProcess(
        process,
        sys.executable,
        [sys.executable, *command, "--listen", f"tcp:0:interface={LOOPBACK}"],
        env=None,
    )
    test.addCleanup(process.stop)
    started = await process.log.expect(r"Site.* starting on \d+")
    return Server(int(started.rpartition(" ")[2]), process.log)


class TutorialTests(TestCase):
    """The tutorial, followed on a real server."""

    timeout = 60

    async def assert_logged(
        self, server: Server, title: str, directory: str, start: int = 0
    ) -> None:
        """The server logs the lines that the tutorial shows under this title, in their order."""
        lines = shown_log(section(DOCS / "tutorial.rst", title))
        patterns = [as_pattern(line).replace("/slow", f"/{directory}/slow") for line in lines]
        self.assertTrue(patterns)
        await server.log.expect(patterns[-1])
        logged = iter(server.log.lines[start:])
        for pattern in patterns:
            self.assertTrue(any(re.search(pattern, line) for line in logged), pattern)

    async def test_followed_step_by_step(self) -> None:
        """Each step of the tutorial logs the lines that are shown under it."""
        steps = enumerate(TUTORIAL.values(), 1)
        pages = {f"{number}/slow.rpy": path.read_text() for number, path in steps}
        server = await serve_pages(self, pages)
        plain = await server.connect(SocketVisit("/1/slow.rpy"))
        plain.leave()
        leaver = await server.connect(SocketVisit("/2/slow.rpy"))
        leaver.leave()
        await self.assert_logged(server, "Stop the page", "2")
        waiter = await server.connect(SocketVisit("/2/slow.rpy"))
        await self.follow_coroutine(server)
        self.assertIn(b"Here is your page.", await waiter.closed)
        await self.assert_logged(server, "Write a slow page", "1")
        # One of the plain page, whose client had left; one of the client that waited.
        self.assertEqual(len(server.log.matching("the page is ready")), 2)

    async def follow_coroutine(self, server: Server) -> None:
        """Follow the third and the fourth step."""
        leaver = await server.connect(SocketVisit("/3/slow.rpy"))
        await server.log.expect("step 3 of 5")
        leaver.leave()
        await self.assert_logged(server, "Stop a coroutine", "3")
        start = len(server.log.lines)
        waiter = await server.connect(SocketVisit("/4/slow.rpy"))
        (shown,) = re.findall(
            "^ *(HTTP/.*)$", section(DOCS / "tutorial.rst", "Set a deadline"), re.M
        )
        self.assertIn(shown.encode(), await waiter.closed)
        await self.assert_logged(server, "Set a deadline", "4", start)

    def test_steps_are_in_their_sections(self) -> None:
        """Each section of the tutorial includes the file that the test serves for it."""
        for title, path in TUTORIAL.items():
            (include,) = (
                each
                for each in directives(section(DOCS / "tutorial.rst", title))
                if each.name == "literalinclude"
            )
            self.assertEqual((DOCS / include.argument).resolve(), path)


class AsyncioTests(TestCase):
    """The page on asyncio, under the asyncio reactor."""

    timeout = 60

    async def test_task_and_handler(self) -> None:
        """A task can use `asyncio.timeout` and is cancelled; a handler fails with the log shown."""
        page = ASYNCIO.read_text()
        in_handler = page.replace("asyncio.ensure_future(self._page())", "self._page()")
        self.assertNotEqual(in_handler, page)
        pages = {"task.rpy": page, "handler.rpy": in_handler}
        server = await serve_pages(self, pages, "--reactor=asyncio")
        waiter = await server.connect(SocketVisit("/task.rpy"))
        self.assertIn(b"<h1>Weather</h1>\n<p>Rain.</p>\n", await waiter.closed)
        leaver = await server.connect(SocketVisit("/task.rpy"))
        leaver.leave()
        await server.log.expect(r"\[cancelweb#info\] GET /task\.rpy: stopped")
        failing = await server.connect(SocketVisit("/handler.rpy"))
        self.assertIn(b" 500 ", await failing.closed)
        (shown,) = shown_log((DOCS / "howto" / "asyncio.rst").read_text())
        before, behind = shown.split("/srv/page.py:12 in Page.render_GET")
        await server.log.expect(f"{as_pattern(before)}.*:\\d+ in .*{as_pattern(behind)}")

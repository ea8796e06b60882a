"""The examples, each served by the command in its docstring, with real clients that wait or leave.

`interrupted.rpy` has a module of its own, and so has what needs PostgreSQL.
"""

import os

from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from ..._docs import PARTS
from ..._servers import LOOPBACK, REPOSITORY, Server, reactor
from ...stoppable._upstreams import HEAD, Upstream
from .._examples import AT_ONCE, EXAMPLES, ExampleTestCase, Reader
from .._procs import running


class ExamplesTests(ExampleTestCase):
    """The examples do what their docstrings say."""

    async def test_decorated_report_asks_no_further(self) -> None:
        """A report whose client leaves asks for no further quarter, and returns its connection."""
        server = await self.serve("decorated.py")
        leaver = await server.connect(Reader("/"))
        await server.log.expect("quarter 1 is asked for")
        leaver.leave()
        await server.log.expect("the connection is given back", within=AT_ONCE)
        await self.assert_stopped(server)
        waiter = await server.connect(Reader("/"))
        self.assertTrue((await waiter.closed).endswith(b"\r\n\r\n1000\n"))
        # The one who waited took longer than the one who left would have.
        self.assertEqual(len(server.log.matching("quarter 4 is asked for")), 1)
        self.assert_quiet(server)

    async def test_klein_view_leaves_nothing_running(self) -> None:
        """What a Klein view has started stops when the client leaves, and its hook is run."""
        server = await self.serve("wrapped_klein.py")
        leaver = await server.connect(Reader("/30"))
        await server.log.expect("still at it")
        leaver.leave()
        await server.log.expect("given up: the client disconnected", within=AT_ONCE)
        await self.assert_stopped(server)
        until_now = len(server.log.matching("still at it"))
        waiter = await server.connect(Reader("/2"))
        self.assertIn(b"\ndone\n", await waiter.closed)
        # At 0, 0.5, 1, 1.5 and, perhaps, 2 seconds; twice as many if two of them ran.
        of_the_waiter = len(server.log.matching("still at it")) - until_now
        self.assertIn(of_the_waiter, range(1, 7))
        self.assert_quiet(server)

    async def test_abandoned_upload_is_removed(self) -> None:
        """An upload is removed when its client leaves during the check."""
        server = await self.serve("upload.py")
        leaver = await server.connect(Reader("/", "PUT", b"for nobody"))
        await server.log.expect(r"checking .*/uploads-.*\.part")
        [part] = self.directory.glob("uploads-*/*")
        self.assertEqual(part.read_bytes(), b"for nobody")
        leaver.leave()
        await self.assert_stopped(server)
        self.assertEqual(list(self.directory.glob("uploads-*/*")), [])
        self.assert_quiet(server)

    async def test_checked_upload_is_kept(self) -> None:
        """An upload whose client waits for the check is kept."""
        server = await self.serve("upload.py")
        waiter = await server.connect(Reader("/", "PUT", b"for good"))
        answer = await waiter.closed
        self.assertTrue(answer.startswith(b"HTTP/1.1 201 "), answer)
        [kept] = self.directory.glob("uploads-*/*")
        self.assertEqual(kept.read_bytes(), b"for good")
        self.assertTrue(answer.endswith(kept.name.encode() + b"\n"), answer)
        self.assert_quiet(server)

    async def test_job_is_aborted(self) -> None:
        """A job of the user's own class is stopped when its client leaves, and else completes."""
        server = await self.serve("canceller.py")
        leaver = await server.connect(Reader("/"))
        leaver.leave()
        await self.assert_stopped(server)
        waiter = await server.connect(Reader("/"))
        self.assertTrue((await waiter.closed).endswith(b"\r\n\r\n42\n"))
        self.assert_quiet(server)

    async def test_child_process_is_gone(self) -> None:
        """The child process for a client that leaves is gone from the process table."""
        server = await self.serve("subprocess_.py")
        leaver = await server.connect(Reader("/"))
        await leaver.until(b"\n1\n")
        pid = int(leaver.received.partition(b"process ")[2].split()[0])
        os.kill(pid, 0)
        leaver.leave()
        await self.assert_stopped(server)
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)
        self.assert_quiet(server)

    async def test_child_process_completes(self) -> None:
        """A client that waits gets all that the child process prints."""
        server = await self.serve("subprocess_.py")
        waiter = await server.connect(Reader("/"))
        self.assertIn(b"\n3\n", await waiter.closed)
        self.assert_quiet(server)

    async def test_pipeline_is_gone(self) -> None:
        """The pipeline for a client that leaves is gone; a client that waits gets its output."""
        server = await self.serve("disk_usage.py")
        waiter = await server.connect(Reader("/"))
        self.assertIn(b"\t/usr\n", await waiter.closed)
        leaver = await server.connect(Reader("/"))
        while not running("du -a /usr"):
            await deferLater(reactor, 0.01)
        leaver.leave()
        await server.log.expect(r"\[cancelweb#info\] .*: stopped .*disconnected")
        self.assertEqual(running("du -a /usr"), [])
        self.assert_quiet(server)

    async def test_gateway_tells_upstream(self) -> None:
        """A client that leaves the gateway leaves the upstream, too; one that stays is served."""
        behind = await self.serve("stream.py")
        gateway = await self.serve("gateway.py", UPSTREAM_PORT=str(behind.port))
        stayer, leaver = [await gateway.connect(Reader("/")) for _ in range(2)]
        await leaver.until(b"data: tick 2\n\n")
        leaver.leave()
        for server in [gateway, behind]:
            await self.assert_stopped(server)
            self.assert_quiet(server)
        await stayer.until(b"data: tick 4\n\n")
        stayer.leave()

    async def test_weather_is_asked_for(self) -> None:
        """A client that leaves during the upstream's answer has that connection closed."""
        upstream = Upstream()
        port = reactor.listenTCP(0, upstream, interface=LOOPBACK)
        self.addCleanup(port.stopListening)
        server = await self.serve("weather.py", UPSTREAM_PORT=str(port.getHost().port))
        leaver = await server.connect(Reader("/"))
        exchange = await upstream.exchange()
        await exchange.asked()
        exchange.say(HEAD)
        leaver.leave()
        await self.assert_stopped(server)
        await exchange.lost
        waiter = await server.connect(Reader("/"))
        exchange = await upstream.exchange()
        await exchange.asked()
        exchange.say(HEAD + bytes(1000))
        self.assertIn(b"1000 bytes of weather", await waiter.closed)
        self.assert_quiet(server)

    async def test_generator_is_closed(self) -> None:
        """The `finally` of a generator runs when its client leaves."""
        server = await self.serve("stream.py")
        leaver = await server.connect(Reader("/"))
        await leaver.until(b"data: tick 2\n\n")
        answer = leaver.received
        self.assertIn(b"text/event-stream", answer)
        leaver.leave()
        await server.log.expect("the ticker has ended after [23] ticks", within=AT_ONCE)
        await self.assert_stopped(server)
        self.assert_quiet(server)

    async def test_thread_stops(self) -> None:
        """A computation in a thread ends when its client leaves."""
        server = await self.serve("cpu_loop.py")
        leaver = await server.connect(Reader("/"))
        await server.log.expect("counting begins")
        leaver.leave()
        await server.log.expect(r"\d+ primes below \d{1,6}$", within=AT_ONCE)
        await self.assert_stopped(server)
        self.assert_quiet(server)

    async def test_computation_in_a_process_stops(self) -> None:
        """The child that computes for a client that leaves is gone; others are served."""
        server = await self.serve("pool.py")
        body = b"pw=secret"
        form = "Content-Type: application/x-www-form-urlencoded"
        leaver = await server.connect(Reader("/", "POST", body, form))
        line = await server.log.expect(r"process \d+ computes")
        leaver.leave()
        await self.assert_stopped(server)
        self.assertRaises(ProcessLookupError, os.kill, int(line.split()[1]), 0)
        waiter = await server.connect(Reader("/", "POST", body, form))
        self.assertRegex(await waiter.closed, rb"\r\n\r\n[0-9a-f]{128}\n$")
        self.assert_quiet(server)

    async def test_query_stops(self) -> None:
        """A query ends when its client leaves."""
        server = await self.serve("query.py")
        leaver = await server.connect(Reader("/"))
        await server.log.expect("the query begins")
        leaver.leave()
        await server.log.expect("the query has ended", within=AT_ONCE)
        await self.assert_stopped(server)
        self.assert_quiet(server)

    async def test_metrics_tell_of_a_leaver(self) -> None:
        """The metrics count a client that has left, and one that still waits."""
        server = await self.serve("metrics.py")
        leaver, _ = await server.connect(Reader("/")), await server.connect(Reader("/"))
        await self.metrics(server, b"\ncancelweb_requests_in_flight 2.0\n")
        leaver.leave()
        await self.assert_stopped(server)
        page = await self.metrics(server, b"\ncancelweb_requests_in_flight 1.0\n")
        self.assertIn(b'{cause="Disconnected",outcome="stopped"} 1.0\n', page)
        self.assert_quiet(server)

    async def metrics(self, server: Server, wanted: bytes) -> bytes:
        """Scrape until a page of metrics has these bytes."""
        page = b""
        while wanted not in page:
            page = await (await server.connect(Reader("/metrics"))).closed
        return page

    async def test_query_does_not_delay_the_end(self) -> None:
        """A server whose query is running stops at once when it is terminated."""
        server = await self.serve("query.py")
        await server.connect(Reader("/"))
        await server.log.expect("the query begins")
        self.process.transport.signalProcess("TERM")
        # After the pool's threads have been waited for.
        await server.log.expect("Main loop terminated", within=AT_ONCE)

    async def test_klein_query_stops(self) -> None:
        """A Klein view's query stops when the client leaves, and the hook is run."""
        server = await self.serve("klein_database.py")
        waiter = await server.connect(Reader("/count/3"))
        self.assertIn(b"\n6\n", await waiter.closed)
        leaver = await server.connect(Reader("/count/1000000000"))
        await server.log.expect("the query begins")
        leaver.leave()
        await server.log.expect("the query has stopped: the client disconnected", within=AT_ONCE)
        await self.assert_stopped(server)
        self.assert_quiet(server)

    async def test_shared_report_is_made_once(self) -> None:
        """A report for two clients is made once, and is stopped only if both leave."""
        server = await self.serve("shared_report.py")
        leaver, waiter = [await server.connect(Reader("/2026")) for _ in range(2)]
        leaver.leave()
        await self.assert_stopped(server)
        self.assertIn(b"The report of 2026.", await waiter.closed)
        self.assertEqual(len(server.log.matching("2026 is begun")), 1)
        for leaver in [await server.connect(Reader("/2025")) for _ in range(2)]:
            leaver.leave()
        await server.log.expect("the report of 2025 has ended", within=AT_ONCE)
        self.assertEqual(len(server.log.matching("2025 is begun")), 1)
        self.assert_quiet(server)

    async def test_deadline_travels(self) -> None:
        """Each hop has less time left than the one before, and all are stopped at the deadline."""
        server = await self.serve("deadline.py")
        waiter = await server.connect(Reader("/3", header="X-Timeout: 2"))
        self.assertIn(b"HTTP/1.1 504 ", await waiter.closed)
        for hop in range(4):
            await server.log.expect(rf"GET /{hop}: stopped after", within=AT_ONCE)
        self.assert_quiet(server)
        lines = server.log.matching("hops to go")
        left = [float(line.split()[-3]) for line in lines]
        self.assertEqual((len(left), left), (4, sorted(left, reverse=True)))
        self.assertTrue(all(1 < each <= 2 for each in left), left)

    async def test_deadline_is_bounded_by_the_server(self) -> None:
        """A client's time that is too long, wrong or missing becomes the server's own limit."""
        server = await self.serve("deadline.py")
        for header in "X-Timeout: 3000", "X-Timeout: soon", "X-Timeout: -1", "Accept: */*":
            leaver = await server.connect(Reader("/0", header=header))
            await server.log.expect("0 hops to go")
            leaver.leave()
            await self.assert_stopped(server)
            (line,) = server.log.matching("hops to go")
            self.assertTrue(20 < float(line.split()[-3]) <= 30, (header, line))
            server.log.lines.clear()

    async def test_deadline_leaver_stops_all_hops(self) -> None:
        """A client that leaves the first hop has the work of all hops stopped."""
        server = await self.serve("deadline.py")
        leaver = await server.connect(Reader("/3"))
        await server.log.expect("0 hops to go")
        leaver.leave()
        for hop in range(4):
            await server.log.expect(rf"GET /{hop}: stopped .*disconnected", within=AT_ONCE)
        self.assert_quiet(server)

    async def test_flask_thread_sees_that_its_client_left(self) -> None:
        """The thread of a Flask view stops when its client leaves, and else answers."""
        server = await self.serve("flask_app.py")
        waiter = await server.connect(Reader("/1"))
        self.assertTrue((await waiter.closed).endswith(b"done\n"))
        leaver = await server.connect(Reader("/30"))
        leaver.leave()
        await server.log.expect("the thread has stopped: the client disconnected", within=AT_ONCE)
        self.assert_quiet(server)

    async def test_django_thread_sees_that_its_client_left(self) -> None:
        """The thread of a Django view stops when its client leaves, and else answers."""
        server = await self.serve("django_app.py")
        waiter = await server.connect(Reader("/1"))
        self.assertIn(b"\ndone\n", await waiter.closed)
        leaver = await server.connect(Reader("/30"))
        leaver.leave()
        await server.log.expect("the thread has stopped: the client disconnected", within=AT_ONCE)
        self.assert_quiet(server)

    async def test_inline_callbacks_are_cancelled_where_they_wait(self) -> None:
        """A generator whose client leaves asks no further, and its `finally` may wait."""
        server = await self.serve("inline_callbacks.py")
        leaver = await server.connect(Reader("/"))
        await server.log.expect("quarter 1 is asked for")
        leaver.leave()
        await server.log.expect("a hook was told: the client disconnected", within=AT_ONCE)
        await self.assert_stopped(server)
        self.assertEqual(len(server.log.matching("the connection is given back")), 1)
        waiter = await server.connect(Reader("/"))
        self.assertTrue((await waiter.closed).endswith(b"\r\n\r\n1000\n"))
        self.assertEqual(len(server.log.matching("quarter 2 is asked for")), 1)
        self.assert_quiet(server)

    async def test_template_is_stopped_in_its_slow_part(self) -> None:
        """The renderer for a client that leaves is stopped, and one that waits gets the page."""
        server = await self.serve("template_page.py")
        leaver = await server.connect(Reader("/"))
        await server.log.expect("the news are asked for")
        leaver.leave()
        await server.log.expect("the source is closed", within=AT_ONCE)
        await self.assert_stopped(server)
        waiter = await server.connect(Reader("/"))
        self.assertIn(b"<!DOCTYPE html>\n<html><h1>Today</h1><p>No news.</p>", await waiter.closed)
        self.assert_quiet(server)

    async def test_monitor_lets_requests_finish(self) -> None:
        """The monitor shows a request and how it ended, and a shutdown lets requests finish."""
        server = await self.serve("monitored.py")
        leaver = await server.connect(Reader("/report/30"))
        overview = b""
        while b"/report/30': " not in overview:
            overview = await (await server.connect(Reader("/monitor"))).closed
        self.assertRegex(overview, rb"monitored\.py:\d+ in Report\.render_GET\n")
        leaver.leave()
        await server.log.expect("stopped .*disconnected", within=AT_ONCE)
        overview = await (await server.connect(Reader("/monitor"))).closed
        self.assertIn(b"stopped, cause: Disconnected: 1\n", overview)
        waiter = await server.connect(Reader("/report/1"))
        overview = b""
        while b"/report/1': " not in overview:
            overview = await (await server.connect(Reader("/monitor"))).closed
        self.process.transport.signalProcess("TERM")
        self.assertTrue((await waiter.closed).endswith(b"\r\n\r\ndone\n"))
        self.assert_quiet(server)


class StyleTests(SynchronousTestCase):
    """What all examples have in common."""

    def test_under_sixty_lines(self) -> None:
        """Each example has less than 60 lines, except for the dashboard of Grafana."""
        for path in EXAMPLES.iterdir():
            if path.is_file() and path.suffix != ".json":
                self.assertLess(len(path.read_text().splitlines()), 60, path.name)

    def test_each_is_tested(self) -> None:
        """Each example that is a module is served by a test, itself or as a part of another."""
        modules = (REPOSITORY / "tests" / "real").glob("*/test_examples*.py")
        tests = "".join(path.read_text() for path in modules)
        for path in EXAMPLES.glob("*.py"):
            name = PARTS.get(path, path.name)
            self.assertRegex(tests, rf'self.serve\(\s*"{name}"[,)]')
            if path in PARTS:
                self.assertIn(f"\nfrom {path.stem} import ", (EXAMPLES / name).read_text())

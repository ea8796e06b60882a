"""Processes that are told to stop and do not end by themselves.

What belongs here: real processes and signals, with `twist`, with `twistd` and with servers of their
own. What does not: what the log says of each kind of holder (`operating.test_holding_up`), and
requests in a drain (`test_twist_drain`).
"""

import signal
import sys

from ..._servers import (
    LOOPBACK,
    REPOSITORY,
    TWIST_CANCELWEB,
    TWISTD_CANCELWEB,
    LoggedProcess,
    Server,
    launch,
    reactor,
)
from ..._sockets import SocketVisit
from ._tapped import PAGES, ServerTestCase

LIMITS = ("--drain", "0.2", "--exit-after", "1")
WITHIN = 10
"""Seconds in which a loaded machine surely ends a process whose limit is a second or two."""

PROGRAM = """
import sys, time, ctypes
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.web.resource import Resource
from twisted.web.server import Site
from cancelweb import CancellingResource
from cancelweb.monitor import Monitor
from cancelweb.threads import defer_to_thread

globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)])
monitor = Monitor()

class Page(Resource):
    isLeaf = True
    def render_GET(self, request):
        return defer_to_thread(nap, request.uri.decode())

def nap(uri):
    # Until the thread is here, a cancel keeps it from being called at all.
    print("at", uri, flush=True)
    time.sleep(60)

site = Site(CancellingResource(Page(), monitor=monitor, survivor_after=0.1))
port = reactor.listenTCP(0, site, interface="127.0.0.1")
print("Site starting on", port.getHost().port, flush=True)
{stop}
reactor.run()
"""


class ExitTests(ServerTestCase):
    """Servers that something holds up."""

    async def assert_ends(self, process: LoggedProcess, name: str, thread: bool = True) -> None:
        """The process ends by a signal, and its log says what held it up, and where."""
        process.signal(name)
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.signal, getattr(signal, f"SIG{name}"), process.log.lines)
        (line,) = process.log.matching("has not ended in time")
        self.assertIn(f"is ended by SIG{name}", line)
        if thread:
            (line,) = process.log.matching(r"still running: thread \d+ \(PoolThread-")
            self.assertRegex(line, r": \S+_served.py:\d+ in _nap$")

    async def answer(self, server: Server) -> None:
        """Have the server answer, so that its reactor surely runs and handles signals."""
        answer = await (await server.connect(SocketVisit("/quick"))).closed
        self.assertIn(b"quick", answer)

    async def test_a_thread(self) -> None:
        """A thread that does not end is named, and the process ends by the signal all the same."""
        for command, name in (TWIST_CANCELWEB, "TERM"), (TWIST_CANCELWEB, "INT"):
            process, server = await launch(self, (*command, *PAGES, *LIMITS))
            await self.visit(server, "/sleeping")
            await self.assert_ends(process, name)

    async def test_twistd(self) -> None:
        """The same holds under twistd."""
        process, server = await launch(self, (*TWISTD_CANCELWEB, *PAGES, *LIMITS))
        await self.visit(server, "/sleeping")
        await self.assert_ends(process, "TERM")

    async def test_after_the_drain(self) -> None:
        """A thread that outlives its survived request holds the end of the reactor up, no more."""
        options = (*PAGES, "--drain", "0", "--exit-after", "6")
        process, server = await self.start(*options)
        await self.visit(server, "/sleeping")
        process.signal("TERM")
        await server.log.expect("still runs 5 s after")
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.signal, signal.SIGTERM)
        # Twisted joins its threads in the thread of the reactor, which no timer could then reach.
        self.assertEqual(
            len(
                process.log.matching(r"still running: thread \d+ \(MainThread\): \S+threadpool.py")
            ),
            1,
            process.log.lines,
        )

    async def test_a_thread_that_a_request_left(self) -> None:
        """A WSGI application in a thread that waits forever is named, too."""
        process, server = await self.start("--wsgi", "tests.operating._served.stuck", *LIMITS)
        await self.visit(server, "/")
        process.signal("TERM")
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.signal, signal.SIGTERM)
        (line,) = process.log.matching(r"still running: thread \d+ \(PoolThread-")
        self.assertRegex(line, r"_served.py:\d+ in stuck")

    async def test_a_handler_that_blocks_the_reactor(self) -> None:
        """A server whose reactor never gets to the drain ends in the time that it has in all."""
        for command, name in (TWIST_CANCELWEB, "INT"), (TWISTD_CANCELWEB, "TERM"):
            process, server = await launch(self, (*command, *PAGES, *LIMITS))
            await self.visit(server, "/blocking")
            await self.assert_ends(process, name, thread=False)
            (line,) = process.log.matching(r"still running: thread \d+ \(MainThread\)")
            self.assertRegex(line, r"_served.py:\d+ in \S+render_GET")

    async def test_interrupted_while_the_reactor_is_blocked(self) -> None:
        """A second SIGINT ends a server at once whose reactor never gets to the drain."""
        process, server = await self.start(*PAGES, "--exit-after", "1000")
        await self.visit(server, "/blocking")
        process.signal("INT")
        await server.log.expect("Received SIGINT")
        process.signal("INT")
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.signal, signal.SIGINT)

    async def test_a_log_that_nothing_reads(self) -> None:
        """A server whose log is a full pipe, so that its reactor blocks, ends in its time."""
        process, server = await self.start(*PAGES, *LIMITS)
        await self.answer(server)
        for output in 1, 2:
            process.fill(output)
        process.signal("TERM")
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.signal, signal.SIGTERM)

    async def test_very_long_limits(self) -> None:
        """A server that has centuries to stop stops at once if nothing holds it up."""
        process, server = await self.start(*PAGES, "--drain", "1e300", "--exit-after", "1e300")
        await self.answer(server)
        process.signal("TERM")
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.signal, signal.SIGTERM)

    async def test_nothing(self) -> None:
        """A server that nothing holds up ends at once, and its log mentions no limit."""
        process, server = await self.start(*PAGES, "--exit-after", "50")
        await self.answer(server)
        process.signal("TERM")
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.signal, signal.SIGTERM)
        self.assert_quiet(process)


class OwnServerTests(ServerTestCase):
    """Programs that run their own server."""

    async def start_program(self, stop: str) -> tuple[LoggedProcess, Server]:
        """Run the program, with these lines."""
        process = LoggedProcess()
        arguments = [sys.executable, "-c", PROGRAM.format(stop=stop)]
        reactor.spawnProcess(process, sys.executable, arguments, env=None, path=str(REPOSITORY))
        self.addCleanup(process.kill)
        started = await process.log.expect(r"Site starting on \d+")
        server = Server(int(started.rpartition(" ")[2]), process.log)
        await self.visit(server, "/")
        return process, server

    def trigger(self, arguments: str) -> str:
        """The line that drains before the shutdown."""
        return f"reactor.addSystemEventTrigger('before', 'shutdown', monitor.drain, {arguments})"

    async def test_a_thread(self) -> None:
        """With ``exit_after``, a program ends by the signal that asked it to stop."""
        for name in "TERM", "INT":
            process, _ = await self.start_program(self.trigger("0, exit_after=1"))
            process.signal(name)
            reason = await process.end(within=WITHIN)
            self.assertEqual(reason.signal, getattr(signal, f"SIG{name}"))
            (line,) = process.log.matching(r"still running: thread \d+ \(PoolThread-")
            self.assertRegex(line, r": <string>:\d+ in nap$")

    async def test_without_a_signal(self) -> None:
        """A program that stops its reactor itself, and does not end, ends by SIGTERM."""
        stop = self.trigger("0, exit_after=0.5") + "\nreactor.callLater(2, reactor.stop)"
        process, _ = await self.start_program(stop)
        reason = await process.end(within=20)
        self.assertEqual(reason.signal, signal.SIGTERM)

    async def test_a_plain_drain_never_ends_the_process(self) -> None:
        """Without ``exit_after``, nothing ends a program whose thread does not."""
        lines = (
            "monitor_done = lambda _: print('drained', flush=True)",
            "reactor.callLater(1, lambda: monitor.drain(0).addCallback(monitor_done))",
            "reactor.callLater(3, print, 'goes on', flush=True)",
        )
        process, _ = await self.start_program("\n".join(lines))
        await process.log.expect("drained")
        await process.log.expect("goes on")
        self.assertIsNone(process.reason)
        self.assertEqual(process.log.matching("in time"), [])

    async def test_a_later_call(self) -> None:
        """A drain that has begun without a limit for the exit gets one from a later call."""
        process, _ = await self.start_program(
            self.trigger("0") + "\n" + self.trigger("30, exit_after=1")
        )
        process.signal("TERM")
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.signal, signal.SIGTERM)

    async def test_a_delay(self) -> None:
        """In the delay new clients are served, and the port closes at its end."""
        process, server = await self.start_program(
            self.trigger("0, delay=1.5, exit_after=1, close=port.stopListening")
        )
        process.signal("TERM")
        await server.log.expect("Received SIGTERM")
        late = await server.connect(SocketVisit("/late"))
        await server.log.expect("at /late$")
        self.assertIn(b"HTTP/1.1 503 ", await late.closed)
        self.assertEqual(len(process.log.matching(r"Port \d+ Closed")), 1)
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.signal, signal.SIGTERM)

    async def test_a_reactor_that_is_blocked(self) -> None:
        """A reactor whose thread is blocked does not keep the limit from ending the process."""
        process, _ = await self.start_program(
            self.trigger("0, exit_after=1")
            + "\nreactor.addSystemEventTrigger('before', 'shutdown', time.sleep, 60)"
        )
        process.signal("TERM")
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.signal, signal.SIGTERM)
        (line,) = process.log.matching(r"still running: thread \d+ \(MainThread\)")
        self.assertRegex(line, r"base.py:\d+ in \S*fireEvent")

    async def test_pythons_lock_is_held(self) -> None:
        """A driver that waits and holds Python's lock does not keep the process from ending."""
        # No code of Python runs then: tracebacks replace the log, and the exit status is 1.
        process, _ = await self.start_program(
            self.trigger("0, exit_after=1")
            + "\nhold = ctypes.PyDLL(None).sleep"
            + "\nreactor.addSystemEventTrigger('during', 'shutdown', hold, 60)"
        )
        process.signal("TERM")
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.exitCode, 1)
        self.assertEqual(len(process.log.matching("^Timeout")), 1, process.log.lines)
        self.assertNotEqual(process.log.matching(r'base.py", line \d+ in mainLoop'), [])

    async def test_a_log_that_cannot_be_written(self) -> None:
        """A log that nothing reads does not keep the process from ending."""
        process, _ = await self.start_program(
            self.trigger("0, exit_after=1")
            + "\nfrom twisted.logger import globalLogPublisher"
            + "\nstuck = lambda event: '{count}' in str(event.get('log_format')) and time.sleep(60)"
            + "\nglobalLogPublisher.addObserver(stuck)"
        )
        process.signal("TERM")
        reason = await process.end(within=WITHIN)
        self.assertEqual(reason.signal, signal.SIGTERM)


class StartTests(ServerTestCase):
    """Signals that come while a server starts."""

    async def test_interrupted_where_python_ignores_exceptions(self) -> None:
        """A SIGINT while the site is imported ends the process, wherever it comes."""
        for command in TWIST_CANCELWEB, TWISTD_CANCELWEB:
            process = LoggedProcess()
            arguments = [
                *(sys.executable, *command, "--class", "tests.operating._served.interrupted"),
                *("--listen", f"tcp:0:interface={LOOPBACK}"),
            ]
            reactor.spawnProcess(process, sys.executable, arguments, env=None, path=str(REPOSITORY))
            reason = await process.end(within=20)
            self.assertEqual(reason.signal, signal.SIGINT)
            self.assertEqual(process.log.matching("Site starting"), [])

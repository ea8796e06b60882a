"""The parts of the demonstration: the work, the server, and the clients.

The demonstration as a whole is tested in `test_demo`.
"""

import json
import signal
from typing import Any

from twisted.internet.error import ConnectionDone, ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport, StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.http import HTTPChannel, Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from cancelweb.demo import clients
from cancelweb.demo.clients import Course, ServerProcess
from cancelweb.demo.server import count, cpu_seconds, make_site
from cancelweb.demo.work import PAUSE, SLICES, Child, Run, State, spend

from ..._servers import LOOPBACK, reactor


class RunTests(SynchronousTestCase):
    """What a piece of work says about its state."""

    def test_timer_that_is_cancelled(self) -> None:
        """A timer that is cancelled counts as stopped work."""
        clock, run = Clock(), Run()
        call = clock.callLater(1, lambda: None)
        run.begin(call)
        self.assertIs(run.state, State.RUNNING)
        call.cancel()
        self.assertIs(run.state, State.STOPPED)

    def test_count(self) -> None:
        """Each piece of work is counted in its state, and one that has not begun is not."""
        runs = [Run() for _ in range(4)]
        runs[1].begin()
        runs[2].end(completed=True)
        runs[3].end(completed=False)
        self.assertEqual(count(runs), {"started": 3, "completed": 1, "stopped": 1, "running": 1})

    def test_cpu_of_children(self) -> None:
        """CPU seconds are those of this process, and those that its children have reported."""
        before = cpu_seconds([])
        spend(0.01)
        after = cpu_seconds([Run(child_cpu=100)])
        self.assertGreaterEqual(after - before, 100.01)
        self.assertLess(after - before, 101)


class ChildTests(SynchronousTestCase):
    """A child process whose client has left."""

    def setUp(self) -> None:
        """Have the child report its first slice of work."""
        channel = HTTPChannel()
        channel.makeConnection(StringTransport())
        request = Request(channel)
        request.connectionLost(Failure(ConnectionDone()))
        self.run_ = Run()
        self.child = Child(request, self.run_)
        self.child.outReceived(b"0.5\n")

    def test_child_that_runs(self) -> None:
        """A child runs from its first line on, and has used the CPU seconds in that line."""
        self.assertIs(self.run_.state, State.RUNNING)
        self.assertEqual(self.run_.child_cpu, 0.5)

    def test_child_that_was_stopped(self) -> None:
        """A child that was stopped has no CPU seconds of its own: the system counts them."""
        self.child.processEnded(Failure(ProcessTerminated(signal=signal.SIGTERM)))
        self.assertIs(self.run_.state, State.STOPPED)
        self.assertEqual(self.run_.child_cpu, 0)

    def test_child_that_was_done(self) -> None:
        """A child that ends by itself has completed its work."""
        self.child.processEnded(Failure(ProcessDone(0)))
        self.assertIs(self.run_.state, State.COMPLETED)


class ServerTests(SynchronousTestCase):
    """The demonstration's pages, on an in-memory transport."""

    def visit(self, way: str, kind: str) -> StringTransportWithDisconnection:
        """Ask a new server for this kind of work, on `self.clock`."""
        self.clock = Clock()
        self.site = make_site(self.clock, way)
        return self.get(f"/{kind}")

    def get(self, path: str) -> StringTransportWithDisconnection:
        """Send a request on a connection of its own."""
        channel = self.site.buildProtocol(None)
        transport = StringTransportWithDisconnection()
        transport.protocol = channel
        channel.makeConnection(transport)
        channel.dataReceived(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return transport

    def work_on(self) -> None:
        """Let all work come to its end."""
        self.clock.pump([PAUSE] * (SLICES + 1))

    def state_of(self, kind: str) -> str:
        """The one state in which this kind of work is."""
        told = json.loads(self.get("/state").value().partition(b"\r\n\r\n")[2])
        counts: dict[str, int] = told["counts"][kind]
        self.assertEqual(counts.pop("started"), 1)
        [state] = [state for state, number in counts.items() if number]
        return state

    def test_work_answers_a_client_that_waits(self) -> None:
        """Each kind of work answers a client that waits, with cancelweb and without."""
        for way in ("with", "without"):
            for kind in ("timer", "Deferred", "coroutine", "stream"):
                transport = self.visit(way, kind)
                self.assertEqual(self.state_of(kind), "running")
                self.work_on()
                self.assertFalse(transport.connected, (way, kind))
                self.assertIn(b" 200 OK\r\n", transport.value(), (way, kind))
                self.assertEqual(self.state_of(kind), "completed")

    def test_work_has_begun_when_first_bytes_are_sent(self) -> None:
        """Each kind of work sends its first bytes as soon as it has begun."""
        for kind in ("timer", "Deferred", "coroutine", "stream"):
            transport = self.visit("with", kind)
            self.assertNotEqual(transport.value().partition(b"\r\n\r\n")[2], b"", kind)
            transport.loseConnection()

    def test_work_stops_with_cancelweb(self) -> None:
        """With cancelweb, each kind of work stops when its client leaves."""
        for kind in ("timer", "Deferred", "coroutine", "stream"):
            self.visit("with", kind).loseConnection()
            self.assertEqual(self.state_of(kind), "stopped")

    def test_work_runs_on_without_cancelweb(self) -> None:
        """Without cancelweb, each kind of work runs to its end when its client leaves."""
        for kind in ("timer", "Deferred", "coroutine", "stream"):
            self.visit("without", kind).loseConnection()
            self.assertEqual(self.state_of(kind), "running")
            self.work_on()
            self.assertEqual(self.state_of(kind), "completed")


class ServerProcessTests(SynchronousTestCase):
    """What the server's process says about its port and its end."""

    def test_port_comes_in_pieces(self) -> None:
        """The port of the server is known once its line is whole."""
        server = ServerProcess()
        server.outReceived(b"80")
        self.assertNoResult(server.port)
        server.outReceived(b"80\n")
        self.assertEqual(self.successResultOf(server.port), 8080)

    def test_server_that_cannot_start(self) -> None:
        """A server that ends before it listens fails the demonstration."""
        server = ServerProcess()
        server.processEnded(Failure(ProcessTerminated(1)))
        self.failureResultOf(server.port, ProcessTerminated)
        self.successResultOf(server.ended)


class Silent(Resource):
    """A resource that never answers."""

    isLeaf = True

    def render_GET(self, request: Any) -> int:
        """Answer nothing."""
        return NOT_DONE_YET


class Waning(Resource):
    """A resource that reports running work, the first three times that it is asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def render_GET(self, request: Any) -> bytes:
        """Count, and report."""
        self.asked += 1
        running = 1 if self.asked <= 3 else 0
        counts = {"started": 1, "completed": 0, "stopped": 1 - running, "running": running}
        return json.dumps({"cpu": self.asked, "counts": {"timer": counts}}).encode()


class CourseTests(TestCase):
    """The demonstration's clients, over real sockets, with a server that fails them."""

    timeout = 30

    def setUp(self) -> None:
        """Serve work that never answers; ask for one kind of it, with little patience."""
        self.patch(clients, "KINDS", {"timer": None})
        self.patch(clients, "PATIENCE", 0.3)
        root = Resource()
        root.putChild(b"timer", Silent())
        root.putChild(b"state", Waning())
        port = reactor.listenTCP(0, Site(root), interface=LOOPBACK)
        self.addCleanup(port.stopListening)
        self.course = Course(reactor, f"http://{LOOPBACK}:{port.getHost().port}")

    async def test_silent_server_is_given_up(self) -> None:
        """Clients that wait in vain give up, and the results have the server's counts."""
        results = await self.course.run()
        self.assertEqual(results["timer"].started, 1)
        self.assertEqual(results["timer"].running_when_left, 1)

    async def test_end_of_work_is_waited_for(self) -> None:
        """Work that still runs is waited for, and its CPU seconds are counted until then."""
        self.patch(clients, "PATIENCE", 5)
        self.patch(clients, "LEAVERS", 0)
        self.patch(clients, "WAITERS", 0)
        results = await self.course.run()
        self.assertEqual((results["timer"].stopped, results["timer"].running), (1, 0))
        self.assertEqual(results["timer"].cpu, 3)

    async def test_endless_work_is_reported(self) -> None:
        """Work that does not end is reported as still running."""
        self.patch(clients, "PATIENCE", 0.0)
        self.patch(clients, "LEAVERS", 0)
        self.patch(clients, "WAITERS", 0)
        results = await self.course.run()
        self.assertEqual(results["timer"].running, 1)

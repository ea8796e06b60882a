"""`cancelweb.processes.Pool` and the process that has the pool: what a child gets from it.

What belongs here: what children inherit, servers that end in any way, and their scripts. What does
not: calls themselves (`test_pool`).
"""

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError, ProcessDone
from twisted.internet.protocol import Factory, ServerFactory
from twisted.internet.task import deferLater

from cancelweb._stoppable.pool_child import READY, framed

from ..._servers import LOOPBACK, REPOSITORY, LoggedProcess
from ..._sockets import SocketVisit
from . import _pool_work as work
from ._groups import reactor
from ._pools import PoolTestCase
from ._tapped import ServerTestCase

SERVER = """
import os, signal, sys
from twisted.internet.task import deferLater, react
from cancelweb.processes import Pool, defer_to_process

sys.path.insert(0, {repository!r})
from tests.real.system import _pool_work as work

async def main(reactor):
    pool = Pool(4)
    calls = [pool.call(f, {path!r}) for f in (work.spin, work.match, work.is_stubborn)]
    calls.append(pool.call(work.run, ["sh", "-c", "echo $$ >>{path}; exec sleep 60"]))
    for call in calls:
        call.addErrback(lambda failure: None)
    while not os.path.exists({path!r}) or len(open({path!r}).readlines()) < 4:
        await deferLater(reactor, 0.01)
    print("begun", flush=True)
    {then}

react(main)
"""

GUARDED = """
import os
from attrs import frozen
from twisted.internet.task import react
from cancelweb.processes import defer_to_process

print("imported", flush=True)

@frozen
class Point:
    x: int

def double(point):
    print("printed by a child")
    return Point(2 * point.x)

async def main(reactor):
    print(await defer_to_process(double, Point(3)), flush=True)
    print(await defer_to_process(double, Point(4)) == Point(8), flush=True)
    print(await defer_to_process(os.path.basename, "/a/b"), flush=True)

{start}
"""


def is_running(pid: int) -> bool:
    """Whether a process, of whatever parent, runs."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class InheritedTests(PoolTestCase):
    """What a child has of its server."""

    async def test_surroundings(self) -> None:
        """A child has the environment, the directory and the paths of its server."""
        os.environ["MARK"] = self.mark
        self.addCleanup(os.environ.pop, "MARK")
        found = await self.pool(1).call(work.surroundings)
        self.assertEqual(found["environment"]["MARK"], self.mark)
        self.assertEqual(found["directory"], os.getcwd())
        self.assertEqual(found["path"], sys.path)
        self.assertEqual(found["arguments"], sys.argv)

    async def test_signals(self) -> None:
        """A child has none of Twisted's signal handlers, and a session of its own."""
        pool = self.pool(1)
        found = await pool.call(work.surroundings)
        self.assertEqual(found["handlers"], [signal.SIG_DFL] * 2)
        self.assertEqual(found["wakeup"], -1)
        self.assertEqual(found["blocked"], [])
        self.assertEqual(found["session"], await pool.call(work.pid))

    async def test_imports_little(self) -> None:
        """A child imports what its function needs, and neither Twisted nor cancelweb."""
        found = await self.pool(1).call(work.surroundings)
        names = {each.partition(".")[0] for each in found["modules"]}
        self.assertEqual(names & {"cancelweb", "zope", "attr", "h2"}, set())

    async def test_files(self) -> None:
        """A child has no file of its server but the standard ones, and no input."""
        port = reactor.listenTCP(0, ServerFactory(), interface=LOOPBACK)
        self.addCleanup(port.stopListening)
        found = await self.pool(1).call(work.surroundings)
        self.assertEqual(found["stdin"], "")
        kinds = sorted(_kind(path) for each, path in found["files"].items() if int(each) > 2)
        # Its connection, the pipe that ends with the server, and what read the directory.
        self.assertEqual(kinds, ["", "pipe", "socket"])

    async def test_port(self) -> None:
        """A port that the server closes is closed, though children run."""
        port = reactor.listenTCP(0, ServerFactory(), interface=LOOPBACK)
        pool = self.pool(1)
        await pool.call(work.add)
        number = port.getHost().port
        await port.stopListening()
        endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, number)
        await self.assertFailure(endpoint.connect(Factory()), ConnectionRefusedError)
        await pool.call(work.add)


def _kind(path: str) -> str:
    return path.partition(":")[0]


class EndTests(PoolTestCase):
    """Servers that end while children run."""

    timeout = 60

    async def begun_by(self, then: str) -> LoggedProcess:
        """A server whose children have begun their calls; what it does then."""
        script = self.mktemp() + ".py"
        self.path = os.path.abspath(self.path)
        text = SERVER.format(repository=str(REPOSITORY), path=self.path, then=then)
        Path(script).write_text(text)
        process = await run_script(self, script)
        await process.log.expect("^begun$")
        return process

    async def assert_gone(self) -> None:  # type: ignore[override]
        """All children and what they started end."""
        pids = list(map(int, self.told()))
        self.assertEqual(len(pids), 4)
        await self.until(lambda: not any(map(is_running, pids)))

    async def test_killed(self) -> None:
        """When the server is killed, its children and what they started end, and say nothing."""
        process = await self.begun_by("os.kill(os.getpid(), signal.SIGKILL)")
        reason = await process.end()
        self.assertEqual(reason.signal, signal.SIGKILL)
        await self.assert_gone()
        self.assertEqual(process.log.lines, ["begun"])

    async def test_reactor_stops(self) -> None:
        """When the reactor stops, the process ends at once, and its children with it."""
        process = await self.begun_by("return")
        reason = await process.end(within=20)
        self.assertIsInstance(reason, ProcessDone)
        await self.assert_gone()
        self.assertEqual(process.log.lines, ["begun"])

    async def test_interrupted_on_a_terminal(self) -> None:
        """Ctrl-C in a terminal reaches the server alone; its children go on until it ends."""
        then = "reactor.callLater(0.2, os.killpg, os.getpgrp(), signal.SIGINT); await calls[0]"
        process = await self.begun_by(then)
        await process.end(within=20)
        await self.assert_gone()
        self.assertNotIn("KeyboardInterrupt", "\n".join(process.log.lines))


class ScriptTests(PoolTestCase):
    """Functions of the server's own script."""

    timeout = 60

    async def lines(self, start: str) -> list[str]:
        """What a script prints that starts its server like this."""
        script = self.mktemp() + ".py"
        Path(script).write_text(GUARDED.format(start=start))
        process = await run_script(self, script)
        await process.end()
        return process.log.lines

    async def test_guarded(self) -> None:
        """A child imports the script when it needs a function or a class of it."""
        lines = await self.lines('if __name__ == "__main__":\n    react(main)')
        printed = ["printed by a child"]
        points = ["Point(x=6)", "True", "b"]
        self.assertEqual([each for each in lines if each in points], points)
        self.assertEqual(lines.count(*printed), 2)
        self.assertIn(lines.count("imported"), [2, 3])

    async def test_unguarded(self) -> None:
        """A script that would start a second server in the child is told how to avoid that."""
        lines = "\n".join(await self.lines("react(main)"))
        self.assertIn("RuntimeError: the script would start a second reactor here", lines)
        self.assertIn('must be below `if __name__ == "__main__":`. Or put the function', lines)


class ProgramTests(PoolTestCase):
    """The program of a child, started by hand."""

    def start(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        """A connection to the program, and the program."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        code = "from cancelweb._stoppable.pool_child import main; main()"
        command = [sys.executable, "-c", code, str(theirs.fileno())]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with theirs:
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=environment,
            )
        self.addCleanup(child.__exit__, None, None, None)
        self.addCleanup(child.kill)
        return ours, child

    def test_connection_is_closed(self) -> None:
        """A child ends by itself when its connection is closed."""
        connection, child = self.start()
        facts = {"main": {}, "sys_path": sys.path, "sys_argv": sys.argv}
        connection.sendall(framed(pickle.dumps(facts)))
        self.assertEqual(connection.recv(100), framed(READY))
        connection.close()
        self.assertEqual(child.wait(20), 0)

    def test_server_has_ended(self) -> None:
        """A child is killed if its server has ended before it has begun."""
        _, child = self.start()
        assert child.stdin is not None
        child.stdin.close()
        self.assertEqual(child.wait(20), -signal.SIGKILL)


class TwistTests(ServerTestCase):
    """`twist cancelweb`, whose `__main__` is Twisted's."""

    async def test_serves(self) -> None:
        """A page's call is made, and stops with its client; the server ends when told to."""
        path = os.path.abspath(self.mktemp())
        process, server = await self.start("--class", f"{__package__}._pool_pages.Pages")
        answer = await (await server.connect(SocketVisit("/pid"))).closed
        self.assertIn(b"pid=", answer)
        visit = await server.connect(SocketVisit(f"/match?{path}"))
        while not os.path.exists(path):
            await deferLater(reactor, 0.01)
        child = int(Path(path).read_text())
        visit.leave()
        await server.log.expect("GET /match.*: stopped after")
        self.assertFalse(is_running(child))
        other = await server.connect(SocketVisit(f"/spin?{path}-2"))
        while not os.path.exists(f"{path}-2"):
            await deferLater(reactor, 0.01)
        process.signal("TERM")
        await process.end()
        del other
        self.assertFalse(is_running(int(Path(f"{path}-2").read_text())))
        self.assert_quiet(process)


async def run_script(test: PoolTestCase, script: str) -> LoggedProcess:
    """Run a script in a session of its own."""
    process = LoggedProcess()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["setsid", sys.executable, script]
    reactor.spawnProcess(process, "setsid", command, environment)
    test.addCleanup(process.kill)
    return process

"""The unit files in `examples/systemd`, and sockets as `systemd-socket-activate` hands them down.

What belongs here: programs of systemd that need no running systemd. What does not: processes that
share a socket (`test_shared_socket`).
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase, TestCase

from ..._docs import UNITS
from ..._loopback import reserve_port
from ..._programs import find_program
from ..._servers import (
    ALARMING,
    LOOPBACK,
    REPOSITORY,
    TWIST_CANCELWEB,
    TWISTD_CANCELWEB,
    LoggedProcess,
    Server,
    reactor,
)
from ..._sockets import SocketVisit
from ._handed_down import LISTEN, PAGES, hand_down, listening, longest_stop

SOCKET, SERVICE, TARGET = UNITS.values()
REMEDY = "apt-get install systemd"


def setting(path: Path, name: str) -> str:
    """The value of a setting that occurs once in a unit file."""
    joined = path.read_text().replace("\\\n", " ")
    (value,) = re.findall(rf"^{name}=(.*)$", joined, re.M)
    return str(value)


class UnitFilesTests(SynchronousTestCase):
    """The unit files as they are written."""

    def verified(self, change: tuple[str, str]) -> str:
        """What systemd-analyze says of the files, whose program is on this machine."""
        analyze = find_program("systemd-analyze", REMEDY)
        directory = Path(self.mktemp()).resolve()
        directory.mkdir()
        for each in UNITS.values():
            text = each.read_text().replace("/srv/shop/venv/bin/twist", sys.executable)
            (directory / each.name).write_text(text.replace(*change))
        units = [directory / each for each in ("cancelweb@1.service", "cancelweb.target")]
        done = subprocess.run(
            [analyze, "verify", "--man=no", *units, directory / "cancelweb.socket"],
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done.stdout + done.stderr

    def test_are_right(self) -> None:
        """systemd-analyze finds nothing wrong, and does find a misspelt setting."""
        self.assertEqual(self.verified(("", "")), "")
        self.assertIn("Unknown key 'KilMode'", self.verified(("KillMode", "KilMode")))

    def test_wait_for_the_drain(self) -> None:
        """systemd tells the server with SIGTERM, and kills it only when its stop is over."""
        self.assertEqual(setting(SERVICE, "KillSignal"), "SIGTERM")
        self.assertEqual(setting(SERVICE, "KillMode"), "mixed")
        seconds = float(setting(SERVICE, "TimeoutStopSec"))
        self.assertGreater(seconds, longest_stop(SERVICE.read_text()))

    def test_failing_process(self) -> None:
        """However often a process fails, systemd starts it again, and keeps the socket open."""
        self.assertEqual(setting(SERVICE, "StartLimitIntervalSec"), "0")
        self.assertEqual(setting(SERVICE, "Restart"), "always")
        # systemd also gives up a socket that it was told to look at twenty times in two seconds.
        self.assertGreaterEqual(float(setting(SERVICE, "RestartSec")), 1)

    def test_names_agree(self) -> None:
        """The socket has the name that the command asks for, and the target starts all of it."""
        command = setting(SERVICE, "ExecStart")
        name = setting(SOCKET, "FileDescriptorName")
        self.assertIn(f"--listen=systemd:domain=INET:name={name} ", command)
        self.assertEqual(setting(SERVICE, "Sockets"), "cancelweb.socket")
        started = setting(TARGET, "Wants").split()
        self.assertIn(setting(SOCKET, "Service"), started)
        started.remove("cancelweb.socket")
        for each in started:
            self.assertRegex(each, r"^cancelweb@\d\.service$")


class ActivationTests(TestCase):
    """A server that systemd-socket-activate starts, as systemd does, for the first client."""

    timeout = 60

    async def activate(self, *options: str, command: tuple[str, ...] = TWIST_CANCELWEB) -> None:
        """Have the program listen, and its first client ask."""
        program = find_program("systemd-socket-activate", REMEDY)
        port, self.process = reserve_port(self), LoggedProcess()
        variables = [f"--setenv={name}" for name in os.environ]
        line = [program, f"--listen={LOOPBACK}:{port}", *variables, *options]
        line += [sys.executable, *command, *PAGES, *LISTEN]
        reactor.spawnProcess(self.process, program, line, env=None, path=str(REPOSITORY))
        self.addCleanup(self.process.stop)
        await self.process.log.expect("Listening on ")
        self.server = Server(port, self.process.log)
        self.visit = await self.server.connect(SocketVisit("/quick"))

    async def test_first_client_is_answered(self) -> None:
        """The client for which the server was started is answered; SIGTERM drains as usual."""
        for command in TWIST_CANCELWEB, TWISTD_CANCELWEB:
            await self.activate("--fdname=web", command=command)
            self.assertTrue((await self.visit.closed).endswith(b"quick"))
            in_flight = await self.server.connect(SocketVisit("/soon/0.5/3"))
            await self.process.log.expect("at /soon")
            self.process.signal("TERM")
            self.assertTrue((await in_flight.closed).endswith(b"..."))
            reason = await self.process.end()
            self.assertEqual(reason.signal, signal.SIGTERM)
            self.assertEqual(self.process.log.matching(ALARMING), [])

    async def test_without_names(self) -> None:
        """Without --fdname, the server ends with one line that says what is missing."""
        await self.activate()
        reason = await self.process.end()
        self.assertEqual(reason.exitCode, 1)
        (line,) = self.process.log.matching("cancelweb: --listen")
        self.assertRegex(
            line,
            r": no socket was handed down, because LISTEN_FDNAMES is not set: .*, and "
            r"systemd-socket-activate with --fdname=web$",
        )
        await self.visit.closed


class ShellTests(TestCase):
    """A supervisor that starts a shell. Other mistakes are in `operating.test_tap_handed_down`."""

    timeout = 60

    async def test_for_another_process(self) -> None:
        """A LISTEN_PID that is that of a shell, because it did not use exec, is explained."""
        shell = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
        command = (*shell, sys.executable, *TWIST_CANCELWEB, *PAGES, *LISTEN)
        process = hand_down(self, listening(self).fileno(), *command)
        reason = await process.end()
        self.assertEqual(reason.exitCode, 1, process.log.lines)
        (line,) = process.log.lines
        start = r"^cancelweb: --listen systemd:domain=INET:name=web: LISTEN_PID is \d+, "
        self.assertRegex(line, start + r"and this is process \d+: have the supervisor")

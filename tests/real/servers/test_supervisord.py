"""Server processes on one socket of a real supervisord, which runs them as in the example.

What belongs here: `examples/supervisord.conf`. What does not: processes that share a socket and
have no supervisor (`test_shared_socket`).
"""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from twisted.internet.error import ProcessDone
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ..._docs import SUPERVISORD
from ..._loopback import reserve_port
from ..._programs import find_program
from ..._servers import ALARMING, LOOPBACK, REPOSITORY, LoggedProcess, reactor
from ._handed_down import CLIENTS, Load, longest_stop

REMEDY = "pip install supervisor"
BESIDE_PYTHON = str(Path(sys.executable).parent)
NUMBERS = (1, 2, 3)
SERVING, ANSWERED = "serving at ", '"GET /quick HTTP/1.1" 200'


class ConfigurationTests(SynchronousTestCase):
    """The example as it is written."""

    def test_waits_for_the_drain(self) -> None:
        """supervisord kills a process only when all steps of its stop are over."""
        text = SUPERVISORD.read_text()
        (seconds,) = re.findall(r"^stopwaitsecs=(\d+)$", text, re.M)
        self.assertGreater(int(seconds), longest_stop(text))
        self.assertIn("\nstopsignal=TERM\n", text)


class RestartTests(TestCase):
    """A supervisord that runs the example, and restarts its processes."""

    timeout = 120

    async def start(self) -> None:
        """Run supervisord, on a port and in a directory of this test."""
        find_program("supervisord", REMEDY, BESIDE_PYTHON)
        # The path of a UNIX socket is at most 107 bytes long.
        self.directory = Path(tempfile.mkdtemp(prefix="cancelweb-supervisord-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.port = reserve_port(self)
        (self.directory / "supervisord.conf").write_text(self.adapted(SUPERVISORD.read_text()))
        self.supervisord = self.run_program("supervisord", "--nodaemon")
        self.addCleanup(self.supervisord.stop, within=30)
        for number in NUMBERS:
            await self.log_has(number, SERVING)

    def adapted(self, text: str) -> str:
        """The example with the port, the paths and the pages of this test."""
        # cancelweb is found where this process finds it.
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        for old, new in {
            "tcp://0.0.0.0:8080": f"tcp://{LOOPBACK}:{self.port}",
            "--status=tcp:900%(process_num)d": "--status=tcp:0",
            "--drain-delay=2": "--drain-delay=1",
            # CI may allow less.
            "minfds=65536\n": "",
            "user=shop\n": "",
            "/run/shop": str(self.directory),
            "/var/log/shop": str(self.directory),
            "/srv/shop/venv/bin/twist": f"{sys.executable} -m twisted",
            'PYTHONPATH="/srv/shop"': f'PYTHONPATH="{path}"',
            "/srv/shop": str(REPOSITORY),
            "shop.Root": "tests.operating._served.Pages",
        }.items():
            self.assertIn(old, text)
            text = text.replace(old, new)
        return text

    def run_program(self, name: str, *arguments: str) -> LoggedProcess:
        """Run a program of supervisord with the configuration."""
        program = find_program(name, REMEDY, BESIDE_PYTHON)
        process = LoggedProcess()
        command = [program, "--configuration=supervisord.conf", *arguments]
        reactor.spawnProcess(process, program, command, env=None, path=str(self.directory))
        return process

    async def restart(self, number: int) -> None:
        """Restart a process, as the example says, and wait until it serves."""
        restarted = self.run_program("supervisorctl", "restart", f"shop:{number}")
        self.assertIsInstance(await restarted.end(within=40), ProcessDone)
        self.assertEqual(
            restarted.log.lines, [f"shop:{number}: stopped", f"shop:{number}: started"]
        )
        await self.log_has(number, rf"{SERVING}(?s:.*){SERVING}")

    async def log_has(self, number: int, pattern: str) -> None:
        """Wait until the log of a process matches a pattern."""
        while not re.search(pattern, self.log_of(number)):
            await deferLater(reactor, 0.05)

    def log_of(self, number: int) -> str:
        """What a process has logged."""
        path = self.directory / f"{number}.log"
        return path.read_text() if path.exists() else ""

    async def test_one_by_one_under_load(self) -> None:
        """Each process is restarted under load: every request is answered, and none with a 503."""
        await self.start()
        load = Load(self.port)
        load.begin(CLIENTS)
        await load.more(100)
        for number in NUMBERS:
            await self.restart(number)
        for number in NUMBERS:
            await self.log_has(number, rf"{SERVING}(?s:.*){SERVING}(?s:.*){ANSWERED}")
        await load.end()
        self.assertEqual(load.lost, [])
        self.assertEqual({*load.statuses}, {200})
        for number in NUMBERS:
            self.assertEqual(self.log_of(number).count(SERVING), 2)
            self.assertNotRegex(self.log_of(number), ALARMING)

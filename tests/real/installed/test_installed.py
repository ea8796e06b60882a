"""`twist` and `twistd` find `cancelweb`, however it was installed.

Each time in a fresh environment. What is installed is built from this repository; what it depends
on comes from wherever pip gets it.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from ..._servers import REPOSITORY, TWIST_CANCELWEB, TWISTD, launch
from ..._sockets import SocketVisit

CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""The environment, without a way to the cancelweb that runs the tests."""


def run(*command: object, cwd: Path | None = None) -> str:
    """Run a command that succeeds, and return what it wrote."""
    arguments = [str(each) for each in command]
    done = subprocess.run(arguments, env=CLEAN, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{command} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def environment(directory: Path, *packages: object) -> Path:
    """Make a fresh environment with these packages, and return its Python."""
    python = directory / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", directory)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *packages)
    return python


def build(kind: str, directory: Path) -> Path:
    """Build a package that can be uploaded to an index: `wheel`, or `sdist`."""
    python = environment(directory / "builder", "hatchling")
    out = directory / "dist"
    run(python, "-m", "hatchling", "build", "-t", kind, "-d", out, cwd=REPOSITORY)
    (package,) = out.iterdir()
    return package


class InstalledTests(TestCase):
    """Ways to install cancelweb."""

    timeout = 600

    def setUp(self) -> None:
        """Make a directory."""
        self.directory = Path(self.mktemp()).resolve()

    async def assert_found(self, *packages: object) -> None:
        """The plugin is found and serves where these packages are installed."""
        python: Any = await deferToThread(environment, self.directory / "installed", *packages)
        helped: Any = await deferToThread(run, python, "-P", *TWISTD[:-1], "--help")
        self.assertRegex(helped, r"\n +cancelweb +Twisted's web server")
        command = ("-P", *TWIST_CANCELWEB, "--path", "examples")
        _, server = await launch(self, command, python=str(python), env=CLEAN)
        visit = await server.connect(SocketVisit("/interrupted.rpy"))
        self.assertIn(b"Sorry to keep you waiting.", await visit.closed)

    async def test_wheel(self) -> None:
        """The plugin is found when installed from the wheel, which adds only it to Twisted."""
        wheel: Any = await deferToThread(build, "wheel", self.directory)
        names = [name for name in ZipFile(wheel).namelist() if name.startswith("twisted/")]
        self.assertEqual(names, ["twisted/plugins/cancelweb_tap.py"])
        await self.assert_found(wheel)

    async def test_sdist(self) -> None:
        """The plugin is found when installed from the sdist."""
        await self.assert_found(await deferToThread(build, "sdist", self.directory))

    async def test_editable(self) -> None:
        """The plugin is found when installed in place, as developers do."""
        await self.assert_found("--editable", REPOSITORY)

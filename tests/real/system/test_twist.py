"""`twist cancelweb` as a process: what it serves, and how it starts.

Real clients. How it stops is for `test_twist_drain`; the options are for `operating.test_tap`.
"""

import sys
from pathlib import Path

from ..._servers import (
    TWIST_CANCELWEB,
    TWISTD_CANCELWEB,
    LoggedProcess,
    SelfSigned,
    Server,
    launch,
    reactor,
)
from ..._sockets import SocketVisit
from ._tapped import AT_ONCE, PAGES, ServerTestCase


class ServingTests(ServerTestCase):
    """What `twist cancelweb` serves."""

    async def assert_stops_work(self, server: Server) -> None:
        """A page is served, and the work for a client that leaves is stopped."""
        quick = await server.connect(SocketVisit("/quick"))
        self.assertTrue((await quick.closed).endswith(b"\r\n\r\nquick"))
        (await self.visit(server, "/waiting")).leave()
        await server.log.expect("GET /waiting: stopped after .*disconnected", within=AT_ONCE)

    async def test_twist(self) -> None:
        """`twist cancelweb` stops the work for a client that leaves."""
        process, server = await self.start(*PAGES)
        await self.assert_stops_work(server)
        self.assert_quiet(process)

    async def test_twistd(self) -> None:
        """`twistd cancelweb` stops the work for a client that leaves, and drains."""
        process, server = await launch(self, (*TWISTD_CANCELWEB, *PAGES, "--drain", "20"))
        await self.assert_stops_work(server)
        visit = await self.visit(server, "/soon/1/3")
        process.signal("TERM")
        self.assertTrue((await visit.closed).endswith(b"\r\n\r\n..."))
        await process.end()
        self.assert_quiet(process)

    async def test_directory(self) -> None:
        """`--path` serves a directory with its scripts, under the timeout that is given."""
        _, server = await self.start("--path", "examples", "--timeout", "0.5")
        visit = await server.connect(SocketVisit("/interrupted.rpy"))
        self.assertIn(b"HTTP/1.1 503 ", await visit.closed)
        await server.log.expect("timed out after 0.5 s")

    async def test_script(self) -> None:
        """`--resource-script` serves a script."""
        script = Path(self.mktemp()).resolve()
        script.write_text("from tests.operating._served import Pages\nresource = Pages()\n")
        _, server = await self.start("--resource-script", str(script))
        await self.assert_stops_work(server)

    async def test_wsgi(self) -> None:
        """`--wsgi` serves an application, which a drain waits for."""
        process, server = await self.start("--wsgi", "tests.operating._served.application")
        visit = await self.visit(server, "/")
        process.signal("TERM")
        answer = await visit.closed
        self.assertIn(b"from a thread", answer)
        await process.end()
        self.assert_quiet(process)

    async def test_tls(self) -> None:
        """`--listen ssl:…` serves over HTTPS, also with `--keepalive`."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        _, server = await self.start(*PAGES, "--keepalive", "30", certificate=certificate)
        await self.assert_stops_work(server)


class StartTests(ServerTestCase):
    """Servers that do not start."""

    async def fails(self, *command: str) -> list[str]:
        """Run a command that fails, and return what it wrote."""
        process = LoggedProcess()
        reactor.spawnProcess(process, sys.executable, [sys.executable, *command], env=None)
        self.addCleanup(process.stop)
        reason = await process.end()
        self.assertEqual(reason.exitCode, 1)
        return process.log.lines

    async def test_wrong_option(self) -> None:
        """A wrong option gives one line and exit status 1, under twist and twistd."""
        for command in TWIST_CANCELWEB, TWISTD_CANCELWEB:
            lines = await self.fails(*command, "--timeout", "soon")
            self.assertEqual(lines, ["cancelweb: --timeout soon: must be a number of seconds"])

    async def test_port_in_use(self) -> None:
        """A port that another server uses gives one line and exit status 1."""
        _, server = await self.start(*PAGES)
        lines = await self.fails(*TWIST_CANCELWEB, "--listen", f"tcp:{server.port}")
        (line,) = lines
        self.assertRegex(
            line, "^cancelweb: cannot start: --listen tcp:.*: Couldn't listen on any:.* in use"
        )

"""The demonstration's page in a process of its own, and a browser on it.

What belongs here: serving it for a test, pressing its buttons, and waiting for what it shows. What
does not: what that should be.
"""

import os
import re
import sys
from typing import Any

from attrs import define, evolve
from twisted.trial.unittest import TestCase

from cancelweb.demo.site import Demonstration

from .._loopback import Connections, listen
from .._servers import LoggedProcess
from ._chromium import Chromium, Tab, launch, reactor

SHOWN = """
new Promise(done => {
  const look = ({detail}) => {
    if (!(%s)) return;
    removeEventListener("shown", look);
    done(detail);
  };
  addEventListener("shown", look);
})
"""


async def start_demo(test: TestCase, port: int = 0) -> tuple[LoggedProcess, int]:
    """Start the demonstration for the length of a test.

    Returns:
        Its process, and its port.
    """
    process = LoggedProcess()
    command = [sys.executable, "-m", "cancelweb", "--serve", "--port", str(port)]
    reactor.spawnProcess(process, command[0], command, env=os.environ)
    test.addCleanup(process.stop)
    line = await process.log.expect(r"^Open http://127\.0\.0\.1:\d+/ in a browser")
    [found] = re.findall(r":(\d+)/", line)
    return process, int(found)


async def serve_demo(test: TestCase) -> int:
    """Serve the demonstration for the length of a test, and return the number of its port."""
    return (await start_demo(test))[1]


def serve_here(test: TestCase, seconds: float) -> tuple[Demonstration, int]:
    """Serve the demonstration in the test's own process; its work takes so many seconds.

    Returns:
        The demonstration, and its port.
    """
    demonstration = Demonstration.start(reactor, seconds)
    test.addCleanup(demonstration.tools.pool.close)
    connections = Connections(demonstration.site())
    test.addCleanup(connections.all_closed)
    demonstration.ports.append(listen(test, connections))
    return demonstration, demonstration.ports[0]


@define(frozen=True)
class Visitor:
    """A visitor with the page in a tab of a browser."""

    browser: Chromium
    tab: Tab
    server: LoggedProcess
    port: int

    @classmethod
    async def come(cls, test: TestCase, width: int = 1280, height: int = 900) -> "Visitor":
        """Serve and open the page, and wait until it shows what the server tells."""
        server, port = await start_demo(test)
        browser = await launch(test)
        visitor = cls(browser, await browser.tab(), server, port)
        await visitor.tab.look(width, height)
        await visitor.open()
        return visitor

    async def another(self) -> "Visitor":
        """Open the page in another tab."""
        visitor = evolve(self, tab=await self.browser.tab())
        await visitor.open()
        return visitor

    async def open(self) -> None:
        """Open the page, and wait until it shows what the server tells."""
        await self.tab.load(f"http://127.0.0.1:{self.port}/")
        await self.shown("true")

    async def press(self, *buttons: str) -> None:
        """Press buttons, by their ids."""
        for button in buttons:
            await self.tab.evaluate(f"document.getElementById({button!r}).click()")

    async def shown(self, condition: str) -> Any:
        """Wait until this is true of the state that the page shows, `detail`, and return it."""
        return await self.tab.evaluate(SHOWN % condition)

    async def text(self, element: str) -> str:
        """What an element shows, by its id."""
        text: str = await self.tab.evaluate(f"document.getElementById({element!r}).innerText")
        return text

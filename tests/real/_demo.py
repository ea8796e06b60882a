"""The demonstration's page in a process of its own, and a browser on it.

What belongs here: serving it for a test, pressing its buttons, and waiting for what it shows. What
does not: what that should be.
"""

import os
import re
import sys
from typing import Any

from attrs import define
from twisted.trial.unittest import TestCase

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


async def serve_demo(test: TestCase, *arguments: str) -> int:
    """Serve the demonstration for the length of a test, and return the number of its port."""
    process = LoggedProcess()
    command = [sys.executable, "-m", "cancelweb", "--serve", "--port", "0", *arguments]
    reactor.spawnProcess(process, command[0], command, env=os.environ)
    test.addCleanup(process.stop)
    line = await process.log.expect(r"^Open http://127\.0\.0\.1:\d+/ in a browser")
    [port] = re.findall(r":(\d+)/", line)
    return int(port)


@define(frozen=True)
class Visitor:
    """A visitor with the page in a tab of a browser."""

    browser: Chromium
    tab: Tab
    url: str

    @classmethod
    async def come(cls, test: TestCase, width: int = 1280, height: int = 900) -> "Visitor":
        """Serve and open the page, and wait until it shows what the server tells."""
        url = f"http://127.0.0.1:{await serve_demo(test)}/"
        browser = await launch(test)
        visitor = cls(browser, await browser.tab(), url)
        await visitor.tab.look(width, height)
        await visitor.open()
        return visitor

    async def another(self) -> "Visitor":
        """Open the page in another tab."""
        visitor = Visitor(self.browser, await self.browser.tab(), self.url)
        await visitor.open()
        return visitor

    async def open(self) -> None:
        """Open the page, and wait until it shows what the server tells."""
        await self.tab.load(self.url)
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

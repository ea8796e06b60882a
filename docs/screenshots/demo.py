"""Makes the pictures of the demonstration, from the real page in a real browser.

Run by `nox -s screenshots`, with trial: it needs what the tests of the page need.
"""

from base64 import b64decode
from pathlib import Path

from tests.real._demo import Visitor
from twisted.trial.unittest import TestCase

HERE = Path(__file__).resolve().parent
WORK = ["start-report-1"] * 2 + ["start-process-1"] * 2 + ["start-stream-1", "start-chain-1"]


class Pictures(TestCase):
    """Each is written beside this file."""

    timeout = 120

    async def test_demo(self) -> None:
        """The same work is left with cancellation off, then on; then some more runs."""
        visitor = await Visitor.come(self, 1160, 800)
        await self.begin_and_leave(visitor, "cancelling")
        await visitor.shown("detail.running === 0")
        await self.begin_and_leave(visitor, "cancelling")
        await visitor.press(*WORK)
        await self.wait(visitor, 3)
        for scheme in ("light", "dark"):
            await visitor.tab.look(1160, 800, scheme)
            shot = await visitor.tab.call("Page.captureScreenshot", format="webp", quality=80)
            (HERE / f"demo-{scheme}.webp").write_bytes(b64decode(shot["data"]))

    async def begin_and_leave(self, visitor: Visitor, switch: str) -> None:
        """Press the switch, start the work, and leave it after some seconds."""
        await visitor.press(switch, *WORK)
        await self.wait(visitor, 4)
        await visitor.press("leave-all")
        await self.wait(visitor, 4)

    async def wait(self, visitor: Visitor, seconds: int) -> None:
        """Let the page show four messages of the server a second."""
        for _ in range(4 * seconds):
            await visitor.shown("true")

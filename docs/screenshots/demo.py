"""Makes the pictures of the demonstration, from the real page in a real browser.

`nox -s screenshots` runs it with trial: it needs what the tests of the page need.
"""

from pathlib import Path

from tests.real._demo import Visitor
from tests.real._pictures import UNCOMMITTED, take
from twisted.trial.unittest import TestCase

HERE = Path(__file__).resolve().parent


class Pictures(TestCase):
    """The pictures for the docs are written next to this file, the others are only to look at."""

    timeout = 120

    async def test_demo(self) -> None:
        """The same work is left with cancellation off, then on; then some more runs."""
        visitor = await Visitor.come(self, 1160, 815)
        await self.start_and_leave(visitor, "cancelling")
        await visitor.shown("detail.running === 0")
        await self.start_and_leave(visitor, "cancelling")
        await visitor.press("start-all")
        await self.wait(visitor, 3)
        await take(visitor.tab, HERE / "demo", 1160, 815)
        await take(visitor.tab, UNCOMMITTED / "demo-phone", 390, 780)

    async def start_and_leave(self, visitor: Visitor, switch: str) -> None:
        """Press the switch, start the work, and leave it after some seconds."""
        await visitor.press(switch, "start-all")
        await self.wait(visitor, 4)
        await visitor.press("leave-all")
        await self.wait(visitor, 3)

    async def wait(self, visitor: Visitor, seconds: int) -> None:
        """Let the page show four messages of the server a second."""
        for _ in range(4 * seconds):
            await visitor.shown("true")

"""The demonstration's page in a real browser.

What it does for clients that are not a browser is for `real.programs.test_demo_page`.
"""

from twisted.trial.unittest import TestCase

from .._demo import Visitor


class BrowserTests(TestCase):
    """The demonstration's page in a browser."""

    timeout = 120

    async def test_start_ten_and_leave_ten(self) -> None:
        """Ten requests that are started and left are gone from the list, and counted."""
        visitor = await Visitor.come(self)
        await visitor.press(*["start-report-1"] * 3, *["start-process-1"] * 3)
        await visitor.press(*["start-stream-1"] * 4)
        state = await visitor.shown("detail.running === 10")
        self.assertEqual(len(state["rows"]), 10)
        self.assertEqual(len((await visitor.text("rows")).strip().splitlines()), 10)
        await visitor.press("leave-all")
        await visitor.shown("detail.running === 0")
        self.assertEqual(await visitor.text("rows"), "")
        self.assertEqual(await visitor.text("stopped"), "10")
        self.assertEqual(await visitor.text("none"), "Nothing runs.")
        self.assertEqual(await visitor.text("for_nobody"), "0")
        self.assertRegex(await visitor.text("slowest"), r"^\d+ ms$")
        self.assertEqual(await visitor.text("yours"), "You left 10, and were answered 0 times.")

    async def test_more_than_a_browser_opens_to_one_port(self) -> None:
        """Thirty requests can run at once, and those of one kind can be left."""
        visitor = await Visitor.come(self)
        await visitor.press("start-stream-10", "start-stream-10", "start-process-10")
        await visitor.shown("detail.running === 30")
        await visitor.press("leave-stream")
        state = await visitor.shown("detail.running === 10")
        self.assertEqual({row["kind"] for row in state["rows"]}, {"process"})

    async def test_switched_off(self) -> None:
        """With cancellation off, a request that was left is marked, and its work goes on."""
        visitor = await Visitor.come(self)
        await visitor.press("cancelling", "start-report-1")
        await visitor.shown("detail.running === 1")
        await visitor.press("leave-all")
        await visitor.shown("detail.rows[0].left")
        self.assertIn("has left", await visitor.text("rows"))
        await visitor.shown("detail.running === 0")
        self.assertEqual(await visitor.text("for_nobody"), "1")
        self.assertEqual(await visitor.text("stopped"), "0")

    async def test_closing_the_tab_leaves(self) -> None:
        """Closing a tab leaves all requests that it started, as another tab shows."""
        visitor = await Visitor.come(self)
        another = await visitor.another()
        await visitor.press("start-chain-1")
        await another.shown("detail.running === 3")
        await visitor.tab.call("Page.close")
        state = await another.shown("detail.running === 0")
        self.assertEqual(state["stopped"], 3)

    async def test_going_elsewhere_leaves(self) -> None:
        """Going to another page leaves all requests that the demonstration started."""
        visitor = await Visitor.come(self)
        await visitor.press("start-chain-1")
        await visitor.shown("detail.running === 3")
        await visitor.tab.load("about:blank")
        await visitor.tab.load(visitor.url)
        state = await visitor.shown("detail.running === 0")
        self.assertEqual(state["stopped"], 3)

    async def test_fits_narrow_and_wide(self) -> None:
        """With work in the list, no width makes the page wider than the window."""
        visitor = await Visitor.come(self)
        await visitor.press("start-chain-1", "start-process-1")
        await visitor.shown("detail.running === 4")
        for width in (320, 390, 700, 1280, 1920):
            await visitor.tab.look(width, 800)
            wide = await visitor.tab.evaluate("document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width)

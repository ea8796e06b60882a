"""The demonstration's page in a real browser.

What it does for clients that are not a browser is for `real.programs.test_demo_page`.
"""

from typing import Any

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from twisted.web.static import Data

from ..._loopback import listen_for_browser
from .._chromium import launch, reactor
from .._demo import Visitor, serve_here, start_demo

FOREIGN = """<!doctype html><title>foreign</title>
<iframe src="%(url)s/on/stream"></iframe><img src="%(url)s/on/stream">
<script>
Promise.allSettled([
  fetch("%(url)s/on/stream"),
  fetch("%(url)s/on/stream", {mode: "no-cors"}).then(answer => answer.text()),
  fetch("%(url)s/on/stream", {method: "POST", mode: "no-cors"}),
  new Promise(done => { document.images[0].onerror = done }),
  new Promise(done => { document.querySelector("iframe").onload = done }),
]).then(() => { document.title = "tried" });
</script>"""

GONE = """
new Promise(done => {
  const look = () => document.body.classList.contains("gone") ? done() : setTimeout(look, 50);
  look();
})
"""


PLACES = """
(id => {
  const button = document.getElementById(id);
  button.focus();
  return [button, document.getElementById("effect")].map(each => {
    const place = each.getBoundingClientRect();
    return [place.top, place.bottom];
  });
})(%r)
"""


class BrowserTests(TestCase):
    """The demonstration's page in a browser."""

    timeout = 120

    async def test_start_and_leave(self) -> None:
        """Requests that are started and left are gone from the list, and counted as stopped."""
        visitor = await Visitor.come(self)
        await visitor.press("start-all", "start-all", "start-stream")
        state = await visitor.shown("detail.running === 9 && detail.rows.length === 13")
        self.assertEqual(len((await visitor.text("rows")).strip().splitlines()), 13)
        self.assertIn("counts as one request", await visitor.text("none"))
        self.assertEqual(await visitor.text("leave-all"), "Leave 9")
        await visitor.press("leave-all")
        state = await visitor.shown("detail.running === 0")
        self.assertEqual(state["counts"], {"stopped": 9})
        self.assertEqual(await visitor.text("rows"), "")
        self.assertEqual(await visitor.text("none"), "No request is running.")
        self.assertEqual(await visitor.text("left"), "9")
        self.assertEqual(await visitor.text("stopped"), "9")
        self.assertEqual(await visitor.text("yours"), "You left 9: 9 stopped.")
        self.assertRegex(await visitor.text("slowest"), r"^\d+ ms$")

    async def test_more_than_a_browser_opens_to_one_port(self) -> None:
        """Thirty requests can run at once, and those of one kind can be left."""
        visitor = await Visitor.come(self)
        await visitor.press(*["start-stream"] * 20, *["start-process"] * 10)
        await visitor.shown("detail.running === 30")
        await visitor.press("leave-stream")
        state = await visitor.shown("detail.running === 10")
        self.assertEqual({row["kind"] for row in state["rows"]}, {"process"})

    async def test_switched_off(self) -> None:
        """With cancellation off, a request that was left is marked, and its work goes on."""
        visitor = await Visitor.come(self)
        await visitor.press("cancelling", "start-stream")
        await visitor.shown("detail.running === 1")
        await visitor.press("leave-all")
        await visitor.shown("detail.rows[0].left")
        self.assertIn("left", await visitor.text("rows"))
        self.assertEqual(await visitor.text("yours"), "You left 1: 0 stopped, 1 still running.")
        await visitor.shown("detail.running === 0")
        self.assertEqual(await visitor.text("yours"), "You left 1: 0 stopped, 1 wasted.")
        self.assertEqual(await visitor.text("wasted"), "1")

    async def test_counts_its_own_requests(self) -> None:
        """A page that is opened later counts its own requests only, so that its numbers agree."""
        visitor = await Visitor.come(self)
        await visitor.press("cancelling", "start-stream")
        await visitor.shown("detail.running === 1")
        await visitor.tab.load("about:blank")
        await visitor.open()
        await visitor.press("start-chain")
        await visitor.shown("detail.running === 2")
        await visitor.press("leave-all")
        state = await visitor.shown("detail.running === 1")
        self.assertEqual(state["counts"], {"stopped": 1})
        self.assertEqual(await visitor.text("yours"), "You left 1: 1 stopped.")
        await visitor.shown("detail.running === 0")
        self.assertEqual(await visitor.text("wasted"), "0")
        self.assertEqual(await visitor.text("left"), "1")

    async def test_many_of_one_kind(self) -> None:
        """Requests with the same address all run at once."""
        visitor = await Visitor.come(self)
        await visitor.press(*["start-report"] * 24)
        await visitor.shown("detail.running === 24")
        await visitor.press("leave-all")
        await visitor.shown("detail.running === 0")
        self.assertEqual(await visitor.text("yours"), "You left 24: 24 stopped.")

    async def test_deadline(self) -> None:
        """A query with a deadline is answered with status 503, which the page shows."""
        visitor = await Visitor.come(self)
        await visitor.press("start-deadline")
        self.assertEqual(await visitor.text("deadline"), "Waiting for the answer …")
        await visitor.shown("detail.counts.timed_out")
        self.assertRegex(
            await visitor.text("deadline"),
            r"^Status 503 after 3\.\d s: timeout=3 stopped the query",
        )

    async def test_focus_stays(self) -> None:
        """A button that can no longer be pressed keeps the focus, and does nothing."""
        visitor = await Visitor.come(self)
        await visitor.press("start-stream")
        await visitor.shown("detail.running === 1")
        await visitor.tab.evaluate("document.getElementById('leave-all').focus()")
        await visitor.press("leave-all", "leave-all")
        await visitor.shown("detail.running === 0")
        focused = "document.activeElement.matches('#leave-all[aria-disabled=true]')"
        self.assertTrue(await visitor.tab.evaluate(focused))
        self.assertEqual(await visitor.text("yours"), "You left 1: 1 stopped.")

    async def test_closing_the_tab_leaves(self) -> None:
        """Closing a tab leaves all requests that it started, as another tab shows."""
        visitor = await Visitor.come(self)
        another = await visitor.another()
        await visitor.press("start-chain")
        await another.shown("detail.rows.length === 3")
        began = reactor.seconds()
        await visitor.tab.call("Page.close")
        await another.shown("detail.rows.length === 0")
        self.assertLess(reactor.seconds() - began, 5)  # the work takes longer

    async def test_fits_narrow_and_wide(self) -> None:
        """With work in the list, no width makes the page wider than the window."""
        visitor = await Visitor.come(self)
        await visitor.press("start-all")
        await visitor.shown("detail.running === 4")
        await visitor.tab.evaluate("document.getElementById('each').open = true")
        for width in (320, 360, 390, 700, 1280, 1920):
            await visitor.tab.look(width, 800)
            wide = await visitor.tab.evaluate("document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width)

    async def test_effect_stays_in_sight(self) -> None:
        """On a phone the numbers and the CPU are in sight beside each button."""
        visitor = await Visitor.come(self, 360, 740)
        for name in ("start-all", "cancelling", "start-deadline"):
            button, effect = await visitor.tab.evaluate(PLACES % name)
            self.assertLessEqual(button[1], effect[0], name)
            self.assertLessEqual(effect[1], 740, name)


class StepTests(TestCase):
    """What the page says to do next."""

    timeout = 60

    async def step(self) -> Any:
        """The one step that is marked as the next."""
        return await self.visitor.tab.evaluate("document.querySelector('[aria-current]')?.id")

    async def test_steps(self) -> None:
        """The page marks one step after the other, as the visitor follows."""
        self.visitor = visitor = await Visitor.come(self)
        self.assertEqual(await self.step(), "step-start")
        await visitor.press("start-stream")
        self.assertEqual(await self.step(), "step-leave")
        await visitor.press("leave-all")
        self.assertEqual(await self.step(), "step-compare")
        await visitor.press("cancelling")
        self.assertEqual(await self.step(), "step-start")
        await visitor.press("start-stream", "leave-all")
        self.assertEqual(await self.step(), "step-deadline")


class ServerGoneTests(TestCase):
    """The page when its server has gone."""

    timeout = 60

    async def test_server_stops_and_starts(self) -> None:
        """The page says how to start a server that is gone, and goes on when it is back."""
        visitor = await Visitor.come(self)
        await visitor.press("start-stream")
        await visitor.shown("detail.running === 1")
        began = reactor.seconds()
        await visitor.server.stop()
        await visitor.tab.evaluate(GONE)
        self.assertLess(reactor.seconds() - began, 3)
        command = f"python -m cancelweb --serve --port {visitor.port}"
        self.assertIn(command, await visitor.text("gone"))
        disabled = "document.getElementById('start-all').ariaDisabled"
        self.assertEqual(await visitor.tab.evaluate(disabled), "true")
        await start_demo(self, visitor.port)
        await visitor.shown("detail.running === 0")
        self.assertTrue(await visitor.tab.evaluate("document.getElementById('gone').hidden"))
        await visitor.press("start-stream")
        await visitor.shown("detail.running === 1")


class ForeignPageTests(TestCase):
    """A page of another site in the same browser."""

    timeout = 60

    async def test_starts_no_work(self) -> None:
        """No way in which a foreign page can send a request starts work."""
        demonstration, port = serve_here(self, seconds=5)
        page = Data((FOREIGN % {"url": f"http://127.0.0.1:{port}"}).encode(), "text/html")
        page.putChild(b"", page)
        url, _ = listen_for_browser(self, Site(page))
        tab = await (await launch(self)).tab()
        await tab.load(url)
        while await tab.evaluate("document.title") != "tried":
            await deferLater(reactor, 0.05)
        self.assertEqual(demonstration.monitor.opened, 0)

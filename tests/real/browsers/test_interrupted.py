"""The tutorial's example in a real browser that waits, or stops."""

from ..._servers import TWIST, reactor, serve
from .._chromium import launch
from .._interrupted import ANSWERED, DELAY, PAGE, PATH, InterruptedTestCase


class ChromiumTests(InterruptedTestCase):
    """The tutorial's example in a browser."""

    async def test_waiting_browser_shows_page(self) -> None:
        """A browser that waits shows the page, and nothing is cancelled."""
        server, browser = await serve(self, TWIST), await launch(self)
        tab = await browser.tab()
        asked = reactor.seconds()
        await tab.load(server.url + PATH)
        self.assertGreaterEqual(reactor.seconds() - asked, DELAY)
        self.assertEqual(await tab.evaluate("document.body.innerText"), PAGE)
        await server.log.expect(ANSWERED)
        self.assert_told(server, abandoned=0, answered=1)

    async def test_stop_button_cancels(self) -> None:
        """Stopping to load, as with the browser's button, cancels the call."""
        server, browser = await serve(self, TWIST), await launch(self)
        tab = await browser.tab()
        await tab.start_loading(server.url + PATH)
        await tab.stop_loading()
        await self.assert_cancelled(server)
        await self.assert_nothing_else(server)

    async def test_window_stop_cancels(self) -> None:
        """A page that calls `window.stop()` while the next one loads cancels the call."""
        server, browser = await serve(self, TWIST), await launch(self)
        tab = await browser.tab()
        await tab.evaluate("onkeydown = () => window.stop()")
        await tab.start_loading(server.url + PATH)
        await tab.press("s")
        await self.assert_cancelled(server)
        await self.assert_nothing_else(server)

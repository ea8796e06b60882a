"""The tutorial's example, on real servers, with real clients that wait or leave."""

from pathlib import Path

from twisted.trial.unittest import TestCase

from ._chromium import launch
from ._http1 import Visit
from ._http2 import HTTP2Client
from ._servers import TWIST, TWISTD, SelfSigned, Server, reactor, serve

PATH = "/interrupted.rpy"
PAGE = "Sorry to keep you waiting."
DELAY = 5

# Far less than the delay, and far more than a busy machine needs for "at once".
AT_ONCE = 2.5

CANCELLED = r"\[cancelweb[\w.]*#info\] GET /interrupted\.rpy: stopped"
OF_CANCELWEB = r"\[cancelweb\b"
ANSWERED = r'"GET /interrupted\.rpy HTTP/[\d.]+" 200 '
ALARMING = r"#(warn|error|critical)\]|Traceback"


class _RealServerTestCase(TestCase):
    """What the tests below share."""

    timeout = 60

    async def leave_early(self, server: Server) -> None:
        """Visit the page and leave without it; the server cancels at once."""
        leaver = await server.connect(Visit(PATH))
        leaver.leave()
        await self.assert_cancelled(server)
        self.assertEqual(await leaver.answer, b"")

    async def wait_for_page(self, server: Server) -> None:
        """Visit the page and wait for it, until the log has its line, too."""
        asked = reactor.seconds()
        waiter = await server.connect(Visit(PATH))
        answer = await waiter.answer
        self.assertGreaterEqual(reactor.seconds() - asked, DELAY)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
        self.assertIn(PAGE.encode(), answer)
        await server.log.expect(ANSWERED)

    async def assert_cancelled(self, server: Server) -> None:
        """The server tells that it has cancelled a call, long before it was due."""
        await server.log.expect(CANCELLED, within=AT_ONCE)

    async def assert_nothing_else(self, server: Server) -> None:
        """Nothing more is told of an abandoned request, not even when it was due.

        It was due before a page that is asked for now.
        """
        await self.wait_for_page(server)
        self.assert_told(server, abandoned=1, answered=1)

    def assert_told(self, server: Server, *, abandoned: int, answered: int) -> None:
        """The log has a line for each request, and nothing above info."""
        told = server.log.matching(OF_CANCELWEB)
        self.assertEqual(told, server.log.matching(CANCELLED))
        self.assertEqual(len(told), abandoned, told)
        self.assertEqual(len(server.log.matching(ANSWERED)), answered)
        self.assertEqual(server.log.matching(ALARMING), [])


class HTTP1Tests(_RealServerTestCase):
    """HTTP/1.1, in the clear and over TLS."""

    async def test_leaving_cancels_under_twist(self) -> None:
        """`twist web` cancels the call of who leaves, and sends the page to who waits."""
        server = await serve(self, TWIST)
        await self.leave_early(server)
        await self.assert_nothing_else(server)

    async def test_leaving_cancels_under_twistd(self) -> None:
        """`twistd -n web` cancels the call of who leaves, and sends the page to who waits."""
        server = await serve(self, TWISTD)
        await self.leave_early(server)
        await self.assert_nothing_else(server)

    async def test_leaving_cancels_over_tls(self) -> None:
        """Over TLS the call of who leaves is cancelled, and who waits gets the page."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        server = await serve(self, TWIST, certificate)
        await self.leave_early(server)
        await self.assert_nothing_else(server)


class HTTP2Tests(_RealServerTestCase):
    """HTTP/2, over TLS."""

    async def test_reset_cancels_and_sibling_completes(self) -> None:
        """Resetting a stream cancels its call, and not that of its sibling."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        server = await serve(self, TWIST, certificate)
        client = await server.connect(HTTP2Client(), b"h2")
        self.addCleanup(client.close)
        leaver, waiter = client.get(PATH), client.get(PATH)
        await client.ping()
        client.reset(leaver)
        await self.assert_cancelled(server)
        await waiter.until(lambda stream: stream.ended)
        self.assertEqual(waiter.headers[b":status"], b"200")
        self.assertIn(PAGE.encode(), waiter.body)
        await server.log.expect(ANSWERED)
        self.assert_told(server, abandoned=1, answered=1)


class ChromiumTests(_RealServerTestCase):
    """A browser."""

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
        """A page that calls `window.stop()` while the next one loads cancels its call."""
        server, browser = await serve(self, TWIST), await launch(self)
        tab = await browser.tab()
        await tab.evaluate("onkeydown = () => window.stop()")
        await tab.start_loading(server.url + PATH)
        await tab.press("s")
        await self.assert_cancelled(server)
        await self.assert_nothing_else(server)

"""The status page in a real browser: live, hostile input, wide and narrow, light and dark.

What is told on the page is for `operating.test_status`.
"""

import re

from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from cancelweb.status import StatusResource

from ..._loopback import listen_for_browser
from ..._servers import reactor
from ...operating._monitored import Monitored
from .._chromium import Tab, launch

WIDE, NARROW = (1200, 900), (360, 640)

WATCH = """
window.complaints = [];
for (const kind of ["securitypolicyviolation", "error", "unhandledrejection"])
    addEventListener(kind, event => complaints.push(
        `${kind}: ${event.violatedDirective || event.message || event.target.outerHTML}`), true);
window.alert = text => complaints.push(`alert: ${text}`);
"""
"""Put into the page before all else: notes what goes wrong in it."""

UNTIL = """
new Promise(done => {
    const look = () => { try { return %s } catch { return null } };
    const seen = look();
    if (seen) return done(seen);
    const observer = new MutationObserver(() => {
        const seen = look();
        if (seen) { observer.disconnect(); done(seen) }
    });
    observer.observe(document, {subtree: true, childList: true, attributes: true});
})
"""
"""Waits for the page to change so that an expression is true; its value."""

CONTRASTS = """
[...document.querySelectorAll("body *")].filter(element =>
    [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())
    && element.checkVisibility() && !element.closest("noscript")
).map(element => {
    const rgb = colour => colour.match(/[\\d.]+/g).map(Number);
    const channel = part => (part /= 255) <= .04045
        ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
    const light = ([r, g, b]) =>
        .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
    let ground = element;
    while (rgb(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
    const [one, other] = [
        light(rgb(getComputedStyle(element).color)),
        light(rgb(getComputedStyle(ground).backgroundColor)),
    ].sort((a, b) => b - a);
    return [(one + .05) / (other + .05), element.outerHTML.slice(0, 80)];
}).sort((a, b) => a[0] - b[0])
"""
"""The contrast of each text with its ground, as WCAG 2.2 defines it, the worst first."""


SENT = [
    (b"GET", b"/<script>alert(1)</script>"),
    (b"GET", b'/"><img/src=x/onerror=alert(1)>'),
    (b"GET", b"/'onmouseover='alert(1)"),
    (b"GET", b"/</code></td></tr></table><h1>hacked</h1>"),
    (b"GET", b"/&lt;b&gt;&#60;i>&nbsp"),
    (b"GET", b"/<!--"),
    (b"GET", b"/]]><svg/onload=alert(1)>"),
    (b"GET", b"/${alert(1)}{{alert(1)}}"),
    (b"GET", b"/data:text/html,<base/href=//evil/>"),
]
"""Methods and paths that come through."""

FORCED = [
    (b"<B>", b"/method"),
    (b"G\r\nE\n\ndata: T", b"/\r\n\r\ndata: <b>forged</b>\n\nevent: x\0"),
    (b"GET", "/\u202egpj.exe\u2066\u200f".encode()),
    (b"GET", b"/\x1b[31m\xff\xfe\xc3("),
    (b"GET", "/עברית/العربية".encode()),
]
"""What no Twisted of today lets through over HTTP/1.1."""

HEADERS = {
    b"User-Agent": b"<script>alert(2)</script>",
    b"Referer": b"\"onerror='alert(2)'",
    b"Cookie": b"<h1>hacked</h1>",
    b"X-Forwarded-For": b"\xff<b>",
}


def until(expression: str) -> str:
    """An expression that waits until this one is true: see `UNTIL`."""
    return UNTIL % expression


class BrowserTestCase(TestCase):
    """The base of these tests: the page on loopback, and a tab that shows it."""

    timeout = 90

    async def open(self) -> Tab:
        """Serve the page, and open an empty tab."""
        self.site = Monitored(reactor)
        self.addCleanup(self.site.leave)
        site = Site(StatusResource(self.site.monitor))
        self.url, self.connections = listen_for_browser(self, site)
        tab = await (await launch(self)).tab()
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        return tab

    async def assert_no_complaints(self, tab: Tab) -> None:
        """The page has had no errors, and nothing in it was blocked."""
        self.assertEqual(await tab.evaluate("complaints"), [])


class LiveTests(BrowserTestCase):
    """The page keeps itself up to date."""

    async def test_requests_come_and_go(self) -> None:
        """Requests appear when they come and vanish when they are left, without a reload."""
        tab = await self.open()
        await tab.load(self.url)
        await tab.evaluate("window.isTheSame = true")
        await tab.evaluate(until("document.querySelector('#connection').textContent == 'Live'"))
        self.site.visit(b"/report")
        rows = "document.querySelector('#request-rows').textContent"
        seen = await tab.evaluate(until(f"{rows}.includes('/report') && {rows}"))
        self.assertRegex(seen, r"GET\s/report\s+\S+/_monitored\.py:\d+ in rows")
        self.site.leave()
        await tab.evaluate(until(f"{rows}.includes('None')"))
        saved = "[...document.querySelectorAll('dd')].at(-1).textContent"
        self.assertEqual(await tab.evaluate(saved), "1")
        self.assertTrue(await tab.evaluate("isTheSame"))
        await self.assert_no_complaints(tab)

    async def test_selected_text_stays(self) -> None:
        """While text is selected, the page holds still, and says so."""
        tab = await self.open()
        self.site.visit(b"/copied")
        await tab.load(self.url)
        await tab.evaluate("getSelection().selectAllChildren(document.querySelector('.sent'))")
        text = "document.querySelector('#connection').textContent"
        await tab.evaluate(until(f"{text}.startsWith('Held')"))
        self.site.leave()
        await tab.evaluate("new Promise(done => events.addEventListener('message', done))")
        self.assertIn("/copied", await tab.evaluate("getSelection().toString()"))
        await tab.evaluate("getSelection().removeAllRanges()")
        await tab.evaluate(until(f"{text} == 'Live'"))
        self.assertEqual(await tab.evaluate("document.querySelector('.sent')"), None)

    async def test_lost_connection_is_told(self) -> None:
        """When the connection is lost, the page says since when, and goes on when it is back."""
        tab = await self.open()
        await tab.load(self.url)
        text = "document.querySelector('#connection').textContent"
        await tab.evaluate(until(f"{text} == 'Live'"))
        self.connections.abort()
        await tab.evaluate(until(f"{text}.startsWith('No connection since')"))
        await tab.evaluate(until(f"{text} == 'Live'"))

    async def test_readable_without_javascript(self) -> None:
        """Without JavaScript, the page shows all, and reloads itself."""
        tab = await self.open()
        await tab.call("Emulation.setScriptExecutionDisabled", value=True)
        self.site.visit(b"/first")
        await tab.call("Page.navigate", url=self.url)
        await tab.event("Page.loadEventFired")
        self.assertIn("/first", await self.text(tab))
        self.site.visit(b"/second")
        await tab.event("Page.loadEventFired")
        text = await self.text(tab)
        self.assertIn("/second", text)
        self.assertIn("Reloaded every 5 seconds", text)

    async def text(self, tab: Tab) -> str:
        """The HTML that is shown; the page itself can run nothing."""
        root = (await tab.call("DOM.getDocument"))["root"]["nodeId"]
        html: str = (await tab.call("DOM.getOuterHTML", nodeId=root))["outerHTML"]
        return html


class HostileTests(BrowserTestCase):
    """Hostile input of clients is shown as it was sent, and does nothing."""

    async def test_is_text(self) -> None:
        """Hostile input is plain text in its place, on load and in events, and runs nothing."""
        tab = await self.open()
        await tab.load(self.url)
        shape = "[document.querySelectorAll('script, h1, img, b, base').length]"
        before = await tab.evaluate(shape)
        for method, path in SENT:
            self.site.visit(path, method=method, headers=HEADERS)
        for method, path in FORCED:
            self.site.visit_hostile(method, path)
        shown = "[...document.querySelectorAll('#request-rows .sent')].map(e => e.textContent)"
        count = len(SENT) + len(FORCED)
        live = await tab.evaluate(until(f"{shown}.length == {count} && {shown}"))
        await self.assert_no_complaints(tab)
        self.assertEqual(await tab.evaluate(shape), before)
        await tab.load(self.url)
        self.assertEqual(await tab.evaluate(shown), live)
        await self.assert_no_complaints(tab)
        self.assertEqual(await tab.evaluate(shape), before)
        plain = [f"{method.decode()}\xa0{path.decode()}" for method, path in SENT]
        self.assertEqual(live[: len(plain)], plain)
        self.assertEqual(
            live[len(plain) :],
            [
                "<B>\xa0/method",
                r"G\r\nE\n\ndata: T" + "\xa0" + r"/\r\n\r\ndata: <b>forged</b>\n\nevent: x\x00",
                "GET\xa0" + r"/\u202egpj.exe\u2066\u200f",
                "GET\xa0" + r"/\x1b[31m\xff\xfe\xc3(",
                "GET\xa0/עברית/العربية",
            ],
        )

    async def test_stays_in_its_place(self) -> None:
        """The longest path, and one written from right to left, do not widen the page."""
        tab = await self.open()
        self.site.visit(b"/" + b"W" * 8000)
        self.site.visit_hostile(b"GET", "/עברית/العربية/".encode() * 30)
        self.site.visit_hostile(b"GET", ("/a" + "\u0301" * 200).encode())
        for size in (WIDE, NARROW):
            await tab.look(*size)
            await tab.load(self.url)
            self.assertLessEqual(await tab.evaluate("document.body.scrollWidth"), size[0])


class LookTests(BrowserTestCase):
    """How the page looks."""

    async def test_fits_wide_and_narrow(self) -> None:
        """With 0, 5 and 5,000 requests, nothing overflows, and the page stays small."""
        tab = await self.open()
        for count in (0, 5, 5000):
            self.site.visits(count - len(self.site.connections))
            for size in (WIDE, NARROW):
                await tab.look(*size)
                await tab.load(self.url)
                await tab.evaluate(
                    until(f"document.querySelector('dd').textContent == '{count:,}'")
                )
                shown = await tab.evaluate(
                    "[document.documentElement.scrollWidth <= innerWidth,"
                    " document.querySelectorAll('#request-rows .sent').length,"
                    " document.documentElement.outerHTML.length < 40_000,"
                    " [...document.querySelectorAll('td, th, dd, figcaption, p')]"
                    "   .filter(e => e.scrollWidth > e.clientWidth + 1).length]"
                )
                self.assertEqual(shown, [True, min(count, 50), True, 0], (count, size))
        more = await tab.evaluate("document.querySelector('.more').textContent")
        self.assertEqual(more, "and 4,950 more, younger ones")

    async def test_numbers_are_even(self) -> None:
        """Each label takes one line, at any width, so that the numbers in a row are level."""
        tab = await self.open()
        for width in (320, 576, 577, 928, 929, 960, 1400):
            await tab.look(width, 800)
            await tab.load(self.url)
            heights = await tab.evaluate(
                "[...document.querySelectorAll('dt')]"
                ".map(e => e.clientHeight / parseFloat(getComputedStyle(e).lineHeight))"
            )
            self.assertEqual({round(each) for each in heights}, {1}, width)

    async def test_contrast(self) -> None:
        """All text has the contrast that WCAG 2.2 asks for (AA: 4.5), light and dark."""
        tab = await self.open()
        self.site.visits(2)
        self.site.survivor()
        self.site.monitor.drain(1000)
        grounds = []
        for scheme in ("light", "dark"):
            await tab.look(*WIDE, scheme)
            await tab.load(self.url)
            await tab.evaluate(until("document.querySelector('.cause').textContent"))
            contrasts = await tab.evaluate(CONTRASTS)
            self.assertGreater(len(contrasts), 30)
            self.assertGreaterEqual(contrasts[0][0], 4.5, contrasts[0])
            grounds.append(await tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        self.assertNotEqual(*grounds)

    async def test_is_accessible(self) -> None:
        """Tables, charts, headings and columns have their names, and a link shows its focus."""
        tab = await self.open()
        self.site.visits(2)
        await tab.load(self.url)
        tree = (await tab.call("Accessibility.getFullAXTree"))["nodes"]
        named = [
            (node["role"]["value"], node["name"]["value"])
            for node in tree
            if not node["ignored"] and "name" in node
        ]
        names = {
            role: [name for kind, name in named if kind == role]
            for role in ("table", "image", "heading", "columnheader")
        }
        tables = ["Survivors", "Let go", "Requests in flight", "How requests have ended"]
        self.assertEqual(names["table"], tables)
        self.assertEqual(names["heading"], ["cancelweb status", "Now", *tables])
        self.assertEqual(len(names["columnheader"]), 2 + 4 + 3 + 3)
        self.assertEqual(
            [re.sub(r"\d+$", "2", name) for name in names["image"]],
            [
                "Requests in flight, the last 2 minutes: at most 2, now 2",
                "Cancelled in a second, the last 2 minutes: at most 0, now 2",
            ],
        )
        await tab.press("Tab")
        focus = "[document.activeElement.textContent, getComputedStyle(document.activeElement)"
        outline = await tab.evaluate(f"{focus}.outlineStyle]")
        self.assertEqual(outline, ["the same as JSON", "solid"])

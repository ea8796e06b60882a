"""The status page in a real browser: live, hostile input, wide and narrow, light and dark.

What is told on the page is for `operating.test_status`.
"""

import re

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from cancelweb.status import StatusResource, _resource
from cancelweb.status._in_flight import OF_GROUP, SHOWN

from ..._loopback import listen_for_browser
from ..._servers import reactor
from ...operating._monitored import Monitored, named
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


OPEN_ALL = "document.querySelectorAll('details').forEach(each => each.open = true)"
"""Opens all lists that are closed."""

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
        self.assertRegex(seen, r"GET\s/report\S+/_monitored\.py:\d+ in rows")
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
        await tab.evaluate(until(f"{text}.startsWith('Paused')"))
        self.site.leave()
        await tab.evaluate("new Promise(done => events.addEventListener('message', done))")
        self.assertIn("/copied", await tab.evaluate("getSelection().toString()"))
        await tab.evaluate("getSelection().removeAllRanges()")
        await tab.evaluate(until(f"{text} == 'Live'"))
        self.assertIsNone(await tab.evaluate("document.querySelector('#request-rows .sent')"))

    async def test_open_lists_and_focus_stay(self) -> None:
        """A list that is open stays so when its rows change, and what has the focus keeps it."""
        tab = await self.open()
        self.site.visits(2)
        self.site.visit(b"/other", handler=named("other"))
        await tab.load(self.url)
        await tab.evaluate("document.querySelector('summary').focus()")
        await tab.evaluate("document.querySelector('summary').click()")
        members = "[...document.querySelectorAll('#request-rows li')].map(e => e.textContent)"
        self.assertEqual(len(await tab.evaluate(members)), 2)
        self.site.visit(b"/third")
        await tab.evaluate(until(f"{members}.length == 3"))
        first, *rest = self.site.connections
        self.site.connections = rest
        first.disconnect()
        await tab.evaluate(until(f"{members}.length == 2"))
        kept = "[document.querySelector('details').open, document.activeElement.textContent]"
        self.assertEqual(await tab.evaluate(kept), [True, "Show 2 requests"])
        await self.assert_no_complaints(tab)

    async def test_rows_come_and_go_in_their_order(self) -> None:
        """After many changes the page has the same rows as after a reload."""
        tab = await self.open()
        await tab.load(self.url)
        rows = "[...document.querySelectorAll('#request-rows th .sent')].map(e => e.textContent)"
        for name in "abcdef":
            self.site.visit(f"/{name}".encode(), handler=named(name))
        await tab.evaluate(until(f"{rows}.length == 6"))
        for index in (4, 0, 2):
            self.site.connections.pop(index).disconnect()
        self.site.visit(b"/g", handler=named("g"))
        expected = [f"GET\xa0/{name}" for name in "bcfg"]
        await tab.evaluate(until(f"{rows}.join() == '{','.join(expected)}'"))
        await tab.evaluate(until("document.querySelector('dd').textContent == '4'"))
        live = await tab.evaluate("document.querySelector('#request-rows').textContent")
        await tab.load(self.url)
        loaded = await tab.evaluate("document.querySelector('#request-rows').textContent")
        times = r"\d+\.\d\xa0s"
        self.assertEqual(re.sub(times, "", live), re.sub(times, "", loaded))

    async def test_reading_place_stays(self) -> None:
        """What is read further down stays in its place when rows are added above it."""
        tab = await self.open()
        await tab.look(*WIDE)
        await tab.load(self.url)
        await tab.evaluate("document.querySelector('#totals').scrollIntoView()")
        top = "Math.round(document.querySelector('#totals').getBoundingClientRect().top)"
        before = await tab.evaluate(f"document.body.style.minHeight = '4000px'; {top}")
        for name in "abcdef":
            self.site.visit(handler=named(name))
        shown = "document.querySelectorAll('#request-rows th').length == 6"
        await tab.evaluate(until(shown))
        await tab.evaluate("new Promise(requestAnimationFrame)")
        self.assertEqual(await tab.evaluate(top), before)

    async def test_lost_connection_is_told(self) -> None:
        """When the connection is lost, the page says since when, and goes on when it is back."""
        tab = await self.open()
        await tab.load(self.url)
        text = "document.querySelector('#connection').textContent"
        await tab.evaluate(until(f"{text} == 'Live'"))
        self.connections.abort()
        await tab.evaluate(until(f"{text}.startsWith('No connection since')"))
        await tab.evaluate(until(f"{text} == 'Live'"))

    async def test_silence_is_told(self) -> None:
        """When no events come, the page says for how long, and goes on when they come again."""
        self.patch(_resource, "INTERVAL", 5.0)
        tab = await self.open()
        await tab.load(self.url)
        text = "document.querySelector('#connection').textContent"
        await tab.evaluate(until(f"{text} == 'Live'"))
        await tab.evaluate(until(f"/^No data for [34] s$/.test({text})"))
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
        self.assertIn("Reloads every 5 seconds", text)

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
            self.site.visit(path, method=method, headers=HEADERS, handler=named(path.decode()))
        for method, path in FORCED:
            self.site.visit_hostile(method, path, named(repr(path)))
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
            if count == 5:
                # Its deadline is as long in words as most are.
                self.site.visit(timeout=3600 - 1)
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
                    "   .filter(e => e.scrollWidth > e.clientWidth + 1).length,"
                    # A number that is too wide runs into the space beside it.
                    " [...document.querySelectorAll('td.number')].filter(e => {"
                    "   const range = document.createRange(), style = getComputedStyle(e);"
                    "   range.selectNodeContents(e);"
                    "   const room = e.clientWidth - parseFloat(style.paddingLeft)"
                    "     - parseFloat(style.paddingRight);"
                    "   return range.getBoundingClientRect().width > room + 1;"
                    " }).map(e => e.textContent)]"
                )
                # The oldest in the row, and up to ten in the list that can be opened.
                paths = 1 + min(count, OF_GROUP) if count else 0
                self.assertEqual(shown, [True, paths, True, 0, []], (count, size))
        more = await tab.evaluate("document.querySelector('.more').textContent")
        self.assertEqual(more, f"and {5000 - 2 * SHOWN:,} more requests")

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
        answer: Deferred[bytes] = Deferred()
        self.addCleanup(answer.callback, b"page")
        self.site.visit(method=b"POST", handler=lambda _: answer).disconnect()
        self.site.survivor()
        self.site.monitor.is_dry_run = True
        self.site.monitor.drain(1000)
        grounds = []
        for scheme in ("light", "dark"):
            await tab.look(*WIDE, scheme)
            await tab.load(self.url)
            await tab.evaluate(until("document.querySelector('.cause').textContent"))
            await tab.evaluate(OPEN_ALL)
            contrasts = await tab.evaluate(CONTRASTS)
            self.assertGreater(len(contrasts), 150)
            self.assertGreaterEqual(contrasts[0][0], 4.5, contrasts[0])
            grounds.append(await tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        self.assertNotEqual(*grounds)

    async def test_is_accessible(self) -> None:
        """Tables, charts, headings and columns have names, and a link shows its focus."""
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
        tables = {"In flight", "Survivors", "Let go", "Detached", "How requests have ended"}
        lists = {
            *("Handlers abandoned most", "Handlers that take the most time"),
            *("Paths abandoned most", "Paths that take the most time"),
        }
        groups = {"Numbers", "Now", "Since the start", "Where clients leave, and where time goes"}
        self.assertEqual(set(names["table"]), {*tables, *lists})
        self.assertEqual(set(names["heading"]), {"cancelweb status", *groups, *tables, *lists})
        self.assertEqual(len(names["columnheader"]), 4 + 4 * 4 + 3 + 4 + 2 + 3)
        self.assertEqual(
            [re.sub(r"\d+$", "2", name) for name in names["image"]],
            [
                "Requests in flight, the last 2 minutes: at most 2, now 2",
                "Cancelled per second, the last 2 minutes: at most 0, now 2",
            ],
        )
        await tab.press("Tab")
        focus = "[document.activeElement.textContent, getComputedStyle(document.activeElement)"
        outline = await tab.evaluate(f"{focus}.outlineStyle]")
        self.assertEqual(outline, ["In flight", "solid"])

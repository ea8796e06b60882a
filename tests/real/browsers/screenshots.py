"""The pictures in the docs, taken from the real pages: `nox -s screenshots`.

What belongs here: what each shows, and how large it is. They are the same each time, as
far as the browser's fonts are: the sites run on a clock that stands still.
"""

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from cancelweb.status import StatusResource

from ..._docs import DOCS
from ..._loopback import listen_for_browser
from ..._visits import connect
from ...operating._monitored import Monitored
from .._chromium import launch
from .test_status import until

PICTURES = DOCS / "_static"

SHOP = """
from twisted.internet.defer import CancelledError, Deferred


async def report(request):
    return await Deferred()


async def search(request):
    return await Deferred()


async def export(request):
    try:
        return await Deferred()
    except Exception:
        return await upload(request)


async def upload(request):
    return await Deferred()
"""
"""What is served: the pictures show its lines, and no path of the machine that takes them."""


class StatusTests(TestCase):
    """The pictures of the status page."""

    timeout = 60

    async def test_status(self) -> None:
        """Take the pictures `status-light.png` and `status-dark.png`."""
        clock = Clock()
        status = Site(StatusResource(self.busy_site(clock).monitor), reactor=clock)
        for second in range(120):
            self.pass_second(second)
            connect(status, clock).get()
            clock.advance(1)
        url, _ = listen_for_browser(self, status)
        tab = await (await launch(self)).tab()
        for scheme in ("light", "dark"):
            await tab.look(960, 900, scheme)
            await tab.load(url)
            await tab.evaluate(until("document.querySelector('#connection').textContent == 'Live'"))
            picture = await tab.picture()
            (PICTURES / f"status-{scheme}.png").write_bytes(picture)

    def busy_site(self, clock: Clock) -> Monitored:
        """A site with a survivor."""
        self.shop: dict[str, Any] = {}
        exec(compile(SHOP, "/srv/shop/pages.py", "exec"), self.shop)
        self.random, self.site = Random(1), Monitored(clock)
        self.addCleanup(self.site.leave)
        self.site.visit(b"/export/2026.csv", handler=self.shop["export"]).disconnect()
        return self.site

    def pass_second(self, second: int) -> None:
        """Have some clients come, and some of the earlier ones leave."""
        for _ in range(self.random.randrange(3)):
            number = self.random.randrange(1000, 10000)
            if self.random.random() < 0.5:
                self.site.visit(b"/reports/%d" % number, handler=self.shop["report"], timeout=60)
            else:
                self.site.visit(b"/search", handler=self.shop["search"])
            self.site.visit(b"/", handler=lambda _: b"at once")
            self.site.connections.pop()
        while len(self.site.connections) > 8 or (
            self.site.connections and self.random.random() < 0.4
        ):
            self.site.connections.pop(
                self.random.randrange(len(self.site.connections))
            ).disconnect()

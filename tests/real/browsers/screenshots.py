"""The pictures in the docs, taken from the real pages: `nox -s screenshots`.

What belongs here: what each shows, and how large it is. They are the same each time, as
far as the browser's fonts are: the sites run on a clock that stands still.
"""

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from cancelweb import CancellingResource, cancel_on_disconnect
from cancelweb.status import StatusResource
from cancelweb.testing import Connection

from ..._docs import DOCS
from ..._loopback import listen_for_browser
from ..._visits import connect
from ...operating._monitored import Monitored
from .._chromium import launch
from .test_status import until

PICTURES = DOCS / "_static"

SHOP = """
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from cancelweb import current_scope, detach

waiting, threads = {"report": [], "search": []}, []


async def wait(name):
    found = Deferred(waiting[name].remove)
    waiting[name].append(found)
    return await found


async def report(request):
    return await wait("report")


def front(request):
    return b"at once"


async def search(request):
    return await wait("search")


async def export(request):
    try:
        return await Deferred()
    except Exception:
        return await upload(request)


async def upload(request):
    return await Deferred()


def thumbnail(request):
    threads.append(Deferred())
    return threads[-1]


def poll(request):
    current_scope().track(request.site.reactor.callLater(25, answer, request))
    return NOT_DONE_YET


def answer(request):
    request.finish()


class Orders(Resource):
    isLeaf = True

    async def render_POST(self, request):
        return await Deferred()


def sign_up(request):
    detach(mail())
    return b"at once"


async def mail():
    await Deferred()
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
            await tab.look(1120, 1180, scheme)
            await tab.load(url)
            await tab.evaluate(until("document.querySelector('#connection').textContent == 'Live'"))
            picture = await tab.picture()
            (PICTURES / f"status-{scheme}.png").write_bytes(picture)

    def busy_site(self, clock: Clock) -> Monitored:
        """A site with survivors, detached work, and a client that has left while it pays."""
        self.shop: dict[str, Any] = {}
        exec(compile(SHOP, "/srv/shop/pages.py", "exec"), self.shop)
        self.random, self.site = Random(1), Monitored(clock)
        self.addCleanup(self.site.leave)
        for path in b"/export/2026.csv", b"/export/2025.csv":
            self.visit(path, "export").disconnect()
        self.visit(b"/thumbnails/17.png", "thumbnail").disconnect()
        self.visit(b"/sign-up", "sign_up")
        return self.site

    def visit(self, path: bytes, name: str, **options: Any) -> Connection:
        """Add a client of one of the shop's handlers that stays, unless it disconnects."""
        handler = cancel_on_disconnect(self.shop[name])
        connection = self.site.visit(path, handler=handler, **options)
        self.site.connections.remove(connection)
        return connection

    def pass_second(self, second: int) -> None:
        """Have some clients come, some get their answers, and some leave."""
        for _ in range(self.random.randrange(4)):
            self.visit(b"/", "front")
            if self.random.random() < 0.4:
                self.come(b"/reports/%d" % self.random.randrange(1, 9), "report", timeout=60)
            else:
                self.come(b"/search", "search")
        for name, probability in ("report", 0.4), ("search", 0.9):
            waiting = self.shop["waiting"][name]
            if waiting and self.random.random() < probability:
                waiting.pop(0).callback(b"page")
        while self.site.connections and self.random.random() < 0.45:
            leaving = self.random.randrange(len(self.site.connections))
            self.site.connections.pop(leaving).disconnect()
        if second == 100:
            self.order()
            self.visit(b"/news", "poll")
            self.visit(b"/news", "poll")

    def order(self) -> None:
        """Add a client that leaves while it pays."""
        root = CancellingResource(self.shop["Orders"](), monitor=self.site.monitor)
        connection = connect(root, self.site.clock)
        connection.request(b"POST", b"/orders")
        connection.disconnect()

    def come(self, path: bytes, name: str, **options: Any) -> None:
        """Add a client that may leave later."""
        self.site.connections.append(self.visit(path, name, **options))

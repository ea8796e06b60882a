"""Serves the status page: what is at which path, and the headers of each answer.

`_facts` reads what is shown, and `_page` makes it HTML.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection
from typing import Any

from attrs import asdict
from twisted.internet.task import deferLater
from twisted.web.http import SERVICE_UNAVAILABLE
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from twisted.web.util import redirectTo

from .._http.decorator import cancel_on_disconnect
from .._scopes.finding import current_scope
from ..health import LivenessResource, ReadinessResource
from ..monitor import Monitor
from ._assets import asset
from ._facts import read
from ._hosts import Hosts, Refusal
from ._look import INTERVAL, Look

VIEWERS = 50
"""How many readers may have the events. Further ones reload the page every five seconds."""

STALLED = 30.0
"""Seconds without reading after which the connection of a viewer is aborted."""

HEADERS = {
    # The page loads nothing from elsewhere, has nothing inline, and cannot be put into a frame.
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    # Makes an nginx in between pass each event on at once.
    b"x-accel-buffering": b"no",
}

FILES = {
    b"style.css": b"text/css; charset=utf-8",
    b"page.js": b"text/javascript; charset=utf-8",
    b"icon.svg": b"image/svg+xml",
}

PROBES = (b"readyz", b"livez")


def set_headers(request: Request) -> None:
    """Set the headers that each answer has, also a refusal or an error."""
    for name, value in HEADERS.items():
        request.setHeader(name, value)


class Part(Resource):
    """One path below a `StatusResource`."""

    isLeaf = True
    content_type = b"text/html; charset=utf-8"

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look

    def render(self, request: Request) -> Any:
        """See `IResource`."""
        request.setHeader(b"content-type", self.content_type)
        return super().render(request)


class PagePart(Part):
    """The page."""

    @cancel_on_disconnect(observers=())
    def render_GET(self, request: Request) -> bytes:
        """Return the page."""
        return self.look.page(current_scope().clock)


class EventsPart(Part):
    """The page once a second, as Server-Sent Events (WHATWG HTML, section 9.2)."""

    content_type = b"text/event-stream"

    def render(self, request: Request) -> Any:
        """See `IResource`. Refuse another viewer where there are many."""
        if self.look.viewers < VIEWERS:
            return super().render(request)
        request.setResponseCode(SERVICE_UNAVAILABLE)
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        request.setHeader(b"retry-after", b"5")
        return b"Too many viewers have the events of the status page.\n"

    @cancel_on_disconnect(observers=(), stall_timeout=STALLED)
    async def render_GET(self, request: Request) -> AsyncIterator[bytes]:
        """Send the page until the client leaves, but not while the client reads nothing."""
        look, clock = self.look, current_scope().clock
        look.viewers += 1
        try:
            while True:
                yield look.event(clock)
                await deferLater(clock, INTERVAL)
        finally:
            look.viewers -= 1


class JSONPart(Part):
    """The same facts for scripts."""

    content_type = b"application/json"

    @cancel_on_disconnect(observers=())
    def render_GET(self, request: Request) -> bytes:
        """Return the facts."""
        status = read(self.look.monitor, current_scope().clock)
        return json.dumps(asdict(status), indent=1).encode()


class FilePart(Part):
    """A file that does not change."""

    def __init__(self, look: Look, name: bytes) -> None:
        super().__init__(look)
        self.content_type = FILES[name]
        self._content = asset(name.decode())

    def render_GET(self, request: Request) -> bytes:
        """Return the file."""
        return self._content


class Refused(Part):
    """Answers a request that may come from the page of another site."""

    content_type = b"text/plain; charset=utf-8"

    def __init__(self, look: Look, refusal: Refusal) -> None:
        super().__init__(look)
        self._refusal = refusal

    def render(self, request: Request) -> bytes:
        """See `IResource`. Return the reason, whatever the method."""
        request.setHeader(b"content-type", self.content_type)
        request.setResponseCode(self._refusal.code, self._refusal.phrase)
        return self._refusal.reason.encode()


class StatusResource(Resource):
    """A page that shows what a monitor knows and keeps itself up to date.

    Serve it on a port of its own that only your operators can reach: it shows the paths that
    clients request. The page works without JavaScript and loads nothing from elsewhere.

    * ``/``: the page, at most a second old.
    * ``/json``: the same facts as JSON.
    * ``/events``: the page once a second (Server-Sent Events), for the page's own script.
    * ``/readyz`` and ``/livez``: the resources of ``cancelweb.health``.

    The page is rendered once a second, however many readers it has, and never without readers.

    A request is answered 421 if its ``Host`` is neither ``localhost``, a loopback address, the
    address at which the client reached the server, nor one of ``hosts``. Otherwise a web page that
    your operators visit could point its own name at the status page and read it (DNS rebinding).
    A request by the page of another site is answered 403.

    Args:
        monitor: the `cancelweb.monitor.Monitor` that your `cancelweb.CancellingResource` has.
        hosts: further names and addresses by which the page may be opened, such as
            ``["status.example"]`` behind a reverse proxy.

    Raises:
        TypeError: ``monitor`` is not a monitor, or ``hosts`` not a collection of str.
        ValueError: one of the ``hosts`` has a scheme or a port.
    """

    def __init__(self, monitor: Monitor, *, hosts: Collection[str] = ()) -> None:
        super().__init__()
        if not isinstance(monitor, Monitor):
            raise TypeError(
                f"StatusResource takes a cancelweb.monitor.Monitor, not {monitor!r}; pass it the "
                "monitor=... of your CancellingResource"
            )
        self._hosts = Hosts.checked(hosts)
        self._look = look = Look(monitor)
        self.putChild(b"", PagePart(look))
        self.putChild(b"json", JSONPart(look))
        self.putChild(b"events", EventsPart(look))
        for name in FILES:
            self.putChild(name, FilePart(look, name))
        self.putChild(b"readyz", ReadinessResource(monitor))
        self.putChild(b"livez", LivenessResource())

    def getChildWithDefault(self, path: bytes, request: Any) -> IResource:
        """See `IResource`. Refuse what may come from the page of another site."""
        set_headers(request)
        child: IResource = super().getChildWithDefault(path, request)
        # A probe may come under any name, and its answer tells a page nothing.
        refusal = None if path in PROBES else self._hosts.refusal(request)
        return child if refusal is None else Refused(self._look, refusal)

    def render(self, request: Request) -> Any:
        """See `IResource`. This is the path without a slash, below another resource."""
        set_headers(request)
        return super().render(request)

    def render_GET(self, request: Request) -> bytes:
        """Redirect to the path with a slash, which relative links need."""
        return redirectTo(
            b"./" + request.uri.partition(b"?")[0].rpartition(b"/")[2] + b"/", request
        )

"""Makes the service of ``twist cancelweb`` from its options: the server, and maybe its status page.

`service` starts and stops the server.
"""

from __future__ import annotations

from attrs import evolve
from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.application.strports import service as listening
from twisted.web import tap

from .._kinds.cancellers import global_reactor
from ..connections import bound_http2, notice_vanished
from ..monitor import Monitor
from ..status import QuietSite, StatusResource
from .announcing import Announced
from .handed_down import is_handed_down
from .loopback import names_interface, on_loopback
from .metrics import metrics_of
from .options import Options
from .service import DrainingService, Stop

LOOK_EVERY = 10.0
"""Seconds between two looks for connections that are not being read."""


def makeService(options: Options) -> MultiService:
    """Make the service that ``twist`` and ``twistd`` run: the server, and maybe its status page.

    Args:
        options: the parsed options.
    """
    monitor = Monitor(global_reactor())
    web = tap.makeService(options)
    factory = next(iter(web)).factory
    site = factory.root.site if options["personal"] else factory
    site.resource = options.wrapped(site.resource, monitor)
    factory = bound_http2(factory)
    if options["keepalive"] is not None:
        factory = notice_vanished(factory, options["keepalive"])
    handed_down = []
    for each, option, given in zip(web, options["options-of-ports"], options["ports"], strict=True):
        each.factory = factory
        each.endpoint = Announced(each.endpoint, "serving at {url}", f"--{option} {given}")
        if is_handed_down(given):
            handed_down.append(each)
    stop = Stop(options["drain-delay"], options["drain"], options["exit-after"])
    server = DrainingService(web, monitor, stop, handed_down)
    TimerService(LOOK_EVERY, monitor.blind_spots).setServiceParent(server)
    if options["status"] is not None:
        resource = StatusResource(monitor, hosts=options["status-hosts"])
        resource.putChild(b"metrics", metrics_of(monitor))
        given = options["status"]
        page = listening(given, QuietSite(resource))
        page.endpoint = Announced(page.endpoint, "status page at {url}", f"--status {given}")
        if not names_interface(given):
            page.endpoint = evolve(page.endpoint, check=on_loopback)
        page.setServiceParent(server)
    return server

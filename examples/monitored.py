"""A monitor: the requests in flight, how others ended, and a shutdown that lets them finish.

Run it::

    PYTHONPATH=examples twist web --class=monitored.root

Run `curl http://localhost:8080/report/3` a few times, and interrupt some of them. Then run
`curl http://localhost:8080/monitor`. Stop the server while a client waits: it gets five more
seconds, and new requests on open connections are turned away.
"""

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor, where_it_waits


class Report(Resource):
    """Takes as many seconds as the path says."""

    isLeaf = True

    async def render_GET(self, request: IRequest) -> bytes:
        """A report. It may be a coroutine because it is wrapped."""
        await deferLater(reactor, float(request.postpath[0]))
        return b"done\n"


class Overview(Resource):
    """What a monitor knows, as text."""

    isLeaf = True

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self._monitor = monitor

    def render_GET(self, request: IRequest) -> bytes:
        """One line for each open scope, and one for each way in which other scopes ended."""
        scopes, totals = self._monitor.scopes, self._monitor.totals
        lines = [f"{one.request.path!r}: {where_it_waits(one)}" for one in scopes if one.request]
        lines += [f"{ended}, cause: {cause}: {n}" for (cause, ended), n in totals.items()]
        return "".join(f"{line}\n" for line in lines).encode()


def root() -> Resource:
    """The reports behind a monitor, and the overview beside them, which it does not count."""
    monitor = Monitor()
    reactor.addSystemEventTrigger("before", "shutdown", monitor.drain, 5)
    reports: Any = CancellingResource(Report(), monitor=monitor)
    tree = Resource()
    tree.putChild(b"report", reports)
    tree.putChild(b"monitor", Overview(monitor))
    return tree

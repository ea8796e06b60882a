"""A report from a slow source, made for as long as its client waits.

Run it::

    PYTHONPATH=examples twist web --class=decorated.Report

`curl http://localhost:8080/` waits two seconds for its answer. `curl -m 1 http://localhost:8080/`
leaves after one: the report asks for no further quarter, and returns its connection at once.
"""

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect

log = Logger()


async def query(quarter: int) -> int:
    """Stand for a slow query."""
    log.info("quarter {quarter} is asked for", quarter=quarter)
    await deferLater(reactor, 0.5)
    return 100 * quarter


class Report(Resource):
    """Adds up the year."""

    isLeaf = True

    @cancel_on_disconnect(timeout=30)
    async def render_GET(self, request: IRequest) -> bytes:
        """Ask for one quarter after the other. If the client leaves, the `await` is cancelled."""
        try:
            total = sum([await query(quarter) for quarter in range(1, 5)])
        finally:
            log.info("the connection is given back")
        return b"%d\n" % total

"""A slow report that is made once for all clients that ask for it at the same time.

Run it::

    PYTHONPATH=examples twist web --class=shared_report.Reports

Ask twice, `curl http://localhost:8080/2026 & curl http://localhost:8080/2026`: the log names one
report. Interrupt one of the two, and the other gets it. Interrupt both, and the report stops.
"""

from functools import partial

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import Shared, cancel_on_disconnect

log = Logger()


@partial(Shared, linger=0.5)
async def report(year: str) -> bytes:
    """Stand for a slow report. It runs on for half a second, in case a client asks again."""
    log.info("the report of {year} is begun", year=year)
    try:
        await deferLater(reactor, 3)
    finally:
        log.info("the report of {year} has ended", year=year)
    return f"The report of {year}.\n".encode()


class Reports(Resource):
    """Shows the report of any year."""

    isLeaf = True

    @cancel_on_disconnect
    async def render_GET(self, request: IRequest) -> bytes:
        """Wait for the report, even if another request has started it."""
        year: bytes = request.postpath[0]
        return await report(year.decode())

"""A deadline that travels: taken from a header, bounded by the server's own, and passed on.

Run it::

    PYTHONPATH=examples twist web --class=deadline.Hop

`curl -i -H 'X-Timeout: 2' http://localhost:8080/3` goes over three hops to something that takes
five seconds. The log tells what each hop has left; after two seconds all have stopped.
"""

import math

import treq
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.http import GATEWAY_TIMEOUT
from twisted.web.http_headers import Headers
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect, current_scope

log = Logger()

HEADER = "X-Timeout"
"""Seconds, not a point in time: no two clocks need to agree."""


def asked(request: IRequest) -> float | None:
    """For how long the client will wait; None where it does not say, or makes no sense."""
    try:
        seconds = float(request.getHeader(HEADER) or "")
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None


class Hop(Resource):
    """One server on the way; what is asked for is the number of hops that are left."""

    isLeaf = True

    @cancel_on_disconnect(timeout=30, timeout_status=GATEWAY_TIMEOUT)
    def render_GET(self, request: IRequest) -> object:
        """Of deadlines that meet the earliest holds: the client's cannot be later than ours."""
        return cancel_on_disconnect(timeout=asked(request))(self._page)(request)

    async def _page(self, request: IRequest) -> bytes:
        hops = int(request.postpath[0])
        left = f"{current_scope().remaining():.3f}"
        log.info("{hops} hops to go, {left} s left", hops=hops, left=left)
        if hops == 0:
            await deferLater(reactor, 5)
            return b"done\n"
        url = f"http://127.0.0.1:{request.getHost().port}/{hops - 1}"
        response = await treq.get(url, headers=Headers({HEADER: [left]}))
        return await response.content()

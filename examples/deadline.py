"""A deadline that travels: read from a header, limited by the server, and passed on.

Run it::

    PYTHONPATH=examples twist web --class=deadline.Hop

`curl -i -H 'X-Timeout: 2' http://localhost:8080/3` goes over three hops to a page that takes
five seconds. The log says how much time each hop has left. After two seconds all have stopped.
"""

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.client import Agent
from twisted.web.http import GATEWAY_TIMEOUT
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect, current_scope
from cancelweb.upstream import CancellingAgent

log = Logger()
client = HTTPClient(CancellingAgent(Agent(reactor)))


class Hop(Resource):
    """One server on the way. The path has the number of hops that are left."""

    isLeaf = True

    @cancel_on_disconnect(timeout=30, timeout_header="X-Timeout", timeout_status=GATEWAY_TIMEOUT)
    async def render_GET(self, request: IRequest) -> bytes:
        """Ask the next hop. The client can shorten our limit; the agent passes on the rest."""
        hops = int(request.postpath[0])
        left = f"{current_scope().remaining():.3f}"
        log.info("{hops} hops to go, {left} s left", hops=hops, left=left)
        if hops == 0:
            await deferLater(reactor, 5)
            return b"done\n"
        url = f"http://127.0.0.1:{request.getHost().port}/{hops - 1}"
        response = await client.get(url)
        return await response.content()

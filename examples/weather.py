"""A handler that asks another server with treq, and hangs up when its own client leaves.

Run it, with `pip install 'cancelweb[treq]'`::

    PYTHONPATH=examples twist web --class=weather.Weather

Run `python -m http.server 8000`, or a slower server, behind it; `$UPSTREAM_PORT` may name another
port. `curl http://localhost:8080/` shows how much that server has sent. Interrupt it while it is
still sending: its connection is closed.
"""

import os

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.web.client import Agent
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect
from cancelweb.upstream import CancellingAgent

URL = f"http://127.0.0.1:{os.environ.get('UPSTREAM_PORT', '8000')}/"
client = HTTPClient(CancellingAgent(Agent(reactor)))


class Weather(Resource):
    """Asks the other server anew for each request."""

    isLeaf = True

    @cancel_on_disconnect
    async def render_GET(self, request: IRequest) -> bytes:
        """Ask, and read the whole answer."""
        response = await client.get(URL)
        return b"%d bytes of weather\n" % len(await response.content())

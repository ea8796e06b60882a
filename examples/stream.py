"""A stream of server-sent events that ends when its client leaves.

Run it::

    PYTHONPATH=examples twist web --class=stream.Ticker

`curl -N http://localhost:8080/` shows a tick each half second. Interrupt it: the log says that
the ticker has ended.
"""

from collections.abc import AsyncIterator

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect

log = Logger()


class Ticker(Resource):
    """Ticks for each client."""

    isLeaf = True

    @cancel_on_disconnect
    async def render_GET(self, request: IRequest) -> AsyncIterator[bytes]:
        """Yield event after event. A client that reads slowly slows the generator down."""
        request.setHeader(b"content-type", b"text/event-stream")
        number = 0
        try:
            while True:
                number += 1
                yield b"data: tick %d\n\n" % number
                await deferLater(reactor, 0.5)
        finally:
            log.info("the ticker has ended after {number} ticks", number=number)

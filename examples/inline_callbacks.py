"""An inlineCallbacks handler that is cancelled where it waits.

Run it::

    PYTHONPATH=examples twist web --class=inline_callbacks.Report

`curl http://localhost:8080/` waits two seconds. Interrupt it: the report asks for no further
quarter, and the log says that the connection was given back.
"""

from collections.abc import Generator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect, current_scope

log = Logger()


@inlineCallbacks
def query(quarter: int) -> Generator[Deferred[Any], Any, int]:
    """Stand for a slow query. This function does not know the request."""
    log.info("quarter {quarter} is asked for", quarter=quarter)
    yield deferLater(reactor, 0.5)
    return 100 * quarter


class Report(Resource):
    """Adds up the year."""

    isLeaf = True

    @cancel_on_disconnect
    @inlineCallbacks
    def render_GET(self, request: IRequest) -> Generator[Deferred[Any], Any, bytes]:
        """Put cancelweb's decorator first. A `finally` block may still wait."""
        current_scope().on_cancel(lambda scope: log.info("a hook was told: {c}", c=scope.cause))
        total = 0
        try:
            for quarter in range(1, 5):
                total += yield query(quarter)
        finally:
            yield deferLater(reactor, 0.1)
            log.info("the connection is given back")
        return b"%d\n" % total

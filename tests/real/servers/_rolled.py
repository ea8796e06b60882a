"""Pages that both instances of a rolling restart serve; the log has a line for each run.

What belongs here: what `twist cancelweb` is told to serve. What does not: restarting it.
"""

from typing import Any, cast

from twisted.internet import reactor as _installed_reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Request

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

tell = Logger(namespace="rolled").info


class Pages(Resource):
    """Answers `/0.1/17`, for example, after a tenth of a second; 17 is the request's number."""

    isLeaf = True

    async def render(self, request: Request) -> bytes:
        """Tell the log that the request is run, wait, and answer."""
        seconds, number = cast(list[bytes], request.postpath)
        tell("ran {number}", number=number.decode())
        if float(seconds):
            await deferLater(reactor, float(seconds))
        return b"page"

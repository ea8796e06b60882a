"""A child process that writes to the client, and stops when the client leaves.

Run it::

    PYTHONPATH=examples twist web --class=subprocess_.Count

`curl -N http://localhost:8080/` shows the number of the process, and then counts to three.
Interrupt it: `ps` no longer shows the process.
"""

import sys

from twisted.internet import reactor
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect

PROGRAM = """
import os, time
print("process", os.getpid(), flush=True)
for number in range(1, 4):
    time.sleep(1)
    print(number, flush=True)
"""


class ToClient(ProcessProtocol):
    """Passes on what the process prints."""

    def __init__(self, request: IRequest) -> None:
        self.request = request

    def outReceived(self, data: bytes) -> None:
        """Pass it on."""
        self.request.write(data)

    def processEnded(self, reason: Failure) -> None:
        """Finish the response. If the client has left, this does nothing."""
        self.request.finish()


class Count(Resource):
    """Runs the program for each request."""

    isLeaf = True

    @cancel_on_disconnect
    def render_GET(self, request: IRequest) -> IProcessTransport:
        """Return the process. If the client leaves, it gets TERM, and KILL if need be."""
        command = [sys.executable, "-c", PROGRAM]
        return reactor.spawnProcess(ToClient(request), command[0], command)

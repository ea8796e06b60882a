"""What takes up the space in a directory: a pipeline of programs that stops with its client.

Run it::

    PYTHONPATH=examples twist web --class=disk_usage.DiskUsage

`curl -N http://localhost:8080/` shows the largest entries of `/usr` first, after some work.
Interrupt it: `ps` shows neither the shell nor the programs that it has started.
"""

from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect
from cancelweb.processes import Output, stream

PIPELINE = "du -a /usr 2>/dev/null | sort -rn | head -n 1000; sleep 1; echo done"


class DiskUsage(Resource):
    """Answers with the output of the pipeline."""

    isLeaf = True

    @cancel_on_disconnect
    def render_GET(self, request: IRequest) -> Output:
        """Return the output as a stream: the pipeline is no faster than the client."""
        request.setHeader(b"content-type", b"text/plain")
        return stream(["sh", "-c", PIPELINE])

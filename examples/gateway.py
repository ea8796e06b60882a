"""A gateway to another server. If a client leaves the gateway, the other server notices.

Run it::

    PYTHONPATH=examples twist web --class=gateway.root

Run a server behind it, on port 8000 or on `$UPSTREAM_PORT`, such as::

    PYTHONPATH=examples twist web --class=stream.Ticker --listen tcp:8000

`curl -N http://localhost:8080/` shows its ticks. Interrupt it: both servers log that they have
stopped.
"""

import os

from cancelweb import CancellingResource
from cancelweb.proxy import ReverseProxyResource


def root() -> CancellingResource:
    """Relay everything. A client that waits for more than thirty seconds gets a 504."""
    port = int(os.environ.get("UPSTREAM_PORT", "8000"))
    upstream = ReverseProxyResource("127.0.0.1", port, b"")
    return CancellingResource(upstream, timeout=30, timeout_status=504)

"""``python -m cancelweb --serve``: serve the demonstration's page until interrupted."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError

from .server import LOOPBACK
from .site import Demonstration


async def serve(reactor: Any, port: int) -> None:
    """Serve, and say where.

    Args:
        reactor: for sockets, processes and time.
        port: the number of the port on loopback; 0 for a free one.

    Raises:
        SystemExit: the port is taken; with a message, and so with status 1.
    """
    try:
        number = await Demonstration.start(reactor).listen(port)
    except CannotListenError as error:
        raise SystemExit(f"cannot listen on port {port}: {error.socketError}") from None
    print(f"Open http://{LOOPBACK}:{number}/ in a browser; Ctrl-C ends it.", flush=True)
    await Deferred()

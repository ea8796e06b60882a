"""Clients that ask and leave, and waits until what they have asked for has begun.

What does not belong here: the servers, and counting.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

REQUEST = b"GET /work HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE = 60.0
"""Seconds in which all work must have begun."""

Count = TypeVar("Count")


def ask(port: int) -> socket.socket:
    """A client that has asked."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(REQUEST)
    return client


def wait_for(wanted: Count, count: Callable[[], Count], what: str) -> Count:
    """Count until there are as many as wanted."""
    end = time.monotonic() + PATIENCE
    while (counted := count()) != wanted:
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: {counted} have started, not {wanted}")
        time.sleep(0.05)
    return counted


def sleep_until(moment: float) -> None:
    """Sleep until ``time.monotonic()`` says so."""
    time.sleep(max(0.0, moment - time.monotonic()))

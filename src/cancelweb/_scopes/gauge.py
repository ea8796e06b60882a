"""The progress of a response, as time limits read it: the interface, without HTTP.

This gauge is for a scope without a response. `_http.gauge` has the gauge of Twisted's requests.
"""

from __future__ import annotations

from typing import Any


class Gauge:
    """Reads the progress of a response. Any thread may call `has_begun`."""

    def produced(self, request: Any) -> object:
        """A value that changes with each write; None while the client holds up the next one."""
        return 0

    def taken(self, request: Any) -> object:
        """A value that changes when the client takes data; None while none waits for it."""
        return None

    def has_begun(self, request: Any) -> bool:
        """Whether part of the response has been written."""
        return False

    def seconds_asked(self, request: Any, header: str) -> float | None:
        """How many seconds the client will wait, by this header; None if it does not say."""
        return None

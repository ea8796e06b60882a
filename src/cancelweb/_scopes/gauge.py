"""What limits look at: how far the response of a scope has come. A seam; knows no HTTP.

This gauge is for a scope without a response. That of Twisted's requests is in `_http.gauge`.
"""

from __future__ import annotations

from typing import Any


class Gauge:
    """Tells how far a response has come. Any thread may ask whether it has begun."""

    def produced(self, request: Any) -> object:
        """What differs after each write; None while the client holds the next one up."""
        return 0

    def taken(self, request: Any) -> object:
        """What differs as soon as the client takes something; None while it need not."""
        return None

    def has_begun(self, request: Any) -> bool:
        """Whether something of the response has been written."""
        return False

    def seconds_asked(self, request: Any, header: str) -> float | None:
        """How long the client will wait, as this header tells; None where it tells nothing."""
        return None

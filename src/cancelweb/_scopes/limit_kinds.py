"""The kinds of time limits: what must change before each is over.

When they are looked at is for `limits`.
"""

from __future__ import annotations

from typing import Any

from .gauge import Gauge


class Total:
    """How long the whole response may take.

    Attributes:
        name: that of the option, or of the header in which the client has asked for it.
        seconds: how long.
        at: when it is over, unless a look before notices a change.
        seen: what the last look has returned; before the first, what one returns of a response
            that has not begun.
    """

    seen: object = True

    def __init__(self, name: str, seconds: float, now: float) -> None:
        self.name = name
        self.seconds = seconds
        self.at = now + seconds

    def update(self, gauge: Gauge, request: Any, now: float) -> None:
        """Count from now if something has changed, or if nothing need change now.

        So what gets stuck is cut after one to two times `seconds`.
        """
        seen = self.look(gauge, request)
        if seen is None or seen != self.seen:
            self.seen, self.at = seen, now + self.seconds

    def look(self, gauge: Gauge, request: Any) -> object:
        """What must change, or None while it need not. The whole is the whole."""
        return True


class Timeout(Total):
    """How long nothing may be written."""

    seen = 0

    def look(self, gauge: Gauge, request: Any) -> object:
        """See `Total`."""
        return gauge.produced(request)


class Stall(Total):
    """How long the client may take nothing."""

    seen = None

    def look(self, gauge: Gauge, request: Any) -> object:
        """See `Total`."""
        return gauge.taken(request)


KINDS = {"total_timeout": Total, "stall_timeout": Stall, "timeout": Timeout}
"""By their options. Where several are over, the first of these is named."""

"""The kinds of time limits: ``timeout``, ``stall_timeout`` and ``total_timeout``.

Each defines what must change before it expires. `limits` sets the timer.
"""

from __future__ import annotations

from typing import Any

from .gauge import Gauge


class Total:
    """A limit on how long the whole response may take.

    Attributes:
        name: the name of the option, or of the header in which the client sent the limit.
        seconds: the limit, in seconds.
        at: when the limit expires, unless a check before then notices a change.
        seen: what `look` returned at the last check. Initially what it returns for a response that
            has not begun.
    """

    seen: object = True

    def __init__(self, name: str, seconds: float, now: float) -> None:
        self.name = name
        self.seconds = seconds
        self.at = now + seconds

    def update(self, gauge: Gauge, request: Any, now: float) -> None:
        """Start the limit again if something has changed, or if nothing needs to change now.

        So a stuck response ends within one to two times `seconds`.
        """
        seen = self.look(gauge, request)
        if seen is None or seen != self.seen:
            self.seen, self.at = seen, now + self.seconds

    def look(self, gauge: Gauge, request: Any) -> object:
        """The value that must change, or None while it need not. For the total it never changes."""
        return True


class Timeout(Total):
    """A limit on how long the handler may write nothing."""

    seen = 0

    def look(self, gauge: Gauge, request: Any) -> object:
        """See `Total`."""
        return gauge.produced(request)


class Stall(Total):
    """A limit on how long the client may take nothing."""

    seen = None

    def look(self, gauge: Gauge, request: Any) -> object:
        """See `Total`."""
        return gauge.taken(request)


KINDS = {"total_timeout": Total, "stall_timeout": Stall, "timeout": Timeout}
"""The kinds by the names of their options. If several expire at once, the first one is named."""

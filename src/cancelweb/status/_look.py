"""The status page as it was last rendered, which all its readers share."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from ..monitor import Monitor
from ._facts import read
from ._history import History
from ._page import page

INTERVAL = 1.0
"""Seconds between two events."""

FRESH = 0.9 * INTERVAL
"""For how many seconds all readers get the same rendered page."""


@define(eq=False)
class Look:
    """What all readers of a page share: the history, and the page as it was last rendered.

    However many readers there are, the page is rendered once a second.

    Attributes:
        viewers: how many readers have the events.
    """

    monitor: Monitor
    viewers: int = 0
    _history: History = field(factory=History)
    _page: bytes = b""
    _event: bytes = b""
    _rendered: float | None = None

    def page(self, clock: IReactorTime) -> bytes:
        """The page as it is now, or was less than a second ago."""
        self._render(clock)
        return self._page

    def event(self, clock: IReactorTime) -> bytes:
        """The same as an event."""
        self._render(clock)
        return self._event

    def _render(self, clock: IReactorTime) -> None:
        now = clock.seconds()
        if self._rendered is not None and 0 <= now - self._rendered < FRESH:
            return
        status = read(self.monitor, clock)
        self._history.note(now, status.in_flight, status.cancelled)
        self._page = page(status, self._history, now)
        self._event = b"data: %b\n\n" % self._page.replace(b"\n", b"\ndata: ")
        self._rendered = now

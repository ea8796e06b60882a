"""Wait for an event: there is nothing to stop, and the canceller says so."""

from twisted.internet.defer import Deferred


class News:
    """Send each message to all clients that wait."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[str]] = []

    def next(self) -> Deferred[str]:
        """Wait for the next message."""
        waiting: Deferred[str] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def tell(self, message: str) -> None:
        """Send a message."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(message)

"""Work that a test ends when it likes.

What belongs here: the simplest kind. What does not: what only one module needs.
"""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cancelweb import ICancellable


@implementer(ICancellable)
class Errand:
    """Work that the test ends when it likes.

    Args:
        asked: Where it notes each time that it is asked to stop.
        name: What it notes there.
        obedient: Whether it ends as soon as it is asked.
    """

    def __init__(
        self, asked: list[str] | None = None, name: str = "", *, obedient: bool = True
    ) -> None:
        self.asked: list[str] = [] if asked is None else asked
        self._name = name
        self._obedient = obedient
        self.has_ended = False
        self._settled: Deferred[Any] = Deferred()

    def cancel(self) -> None:
        """Note that the work was asked to stop."""
        self.asked.append(self._name)
        if self._obedient:
            self.end(Failure(CancelledError()))

    def when_settled(self) -> Deferred[Any]:
        """A Deferred that fires when the test says so."""
        return self._settled

    def end(self, result: object = None) -> None:
        """End the work, once."""
        if not self.has_ended:
            self.has_ended = True
            self._settled.callback(result)

    def fail(self, error: Exception) -> None:
        """End the work with a failure."""
        self.end(Failure(error))

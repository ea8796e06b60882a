"""A time limit that can be paused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall


@define(eq=False)
class Delay:
    """Calls a function after some seconds. It begins paused, and pauses do not count.

    Attributes:
        reactor: the reactor that tells the time.
        left: the seconds that were left at the last pause.
        over: the function.
    """

    reactor: Any
    left: float
    over: Callable[[], object]
    _timer: IDelayedCall | None = field(default=None, init=False)

    def resume(self) -> None:
        """Let the time run; idempotent."""
        if self._timer is None:
            self._timer = self.reactor.callLater(self.left, self.over)

    def pause(self) -> None:
        """Stop the time until `resume`; idempotent."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            self.left = timer.getTime() - self.reactor.seconds()
            timer.cancel()

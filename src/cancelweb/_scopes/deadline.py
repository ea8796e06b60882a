"""The deadline of a scope: the soonest limit that its entry points have set.

What follows when it expires is for `life`: the scope is cancelled with `TimedOut`. How the client
is answered, before or after the headers went out, is in `_http.answering`, ``answer_cancel``.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from .parts import Subject
from .states import State


class Deadline:
    """Tells the life of a scope when the soonest limit is over."""

    def __init__(self, scope: Subject) -> None:
        self._scope = scope
        self._timer: IDelayedCall | None = None

    def limit(self, seconds: float, expired: Callable[[float], object]) -> None:
        """Set a limit that counts from now, unless there is a sooner one.

        Args:
            seconds: what it is.
            expired: called with them when they are over.
        """
        scope = self._scope
        at = scope.clock.seconds() + seconds
        if scope.state is State.RUNNING and (scope.deadline is None or at < scope.deadline):
            self.disarm()
            scope.deadline = at
            self._timer = scope.clock.callLater(seconds, expired, seconds)

    def disarm(self) -> None:
        """Have nothing follow from it any more; idempotent."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

"""A process group that is asked to end, and waited for until nothing of it runs.

`leaders` starts its first process and sends the signals.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall

from .._kinds.where import Place
from .._log import log
from .descriptors import FIRST_LOOK, LONGEST_PAUSE
from .leaders import Leader

_AFTER_KILL = 1.0
"""Seconds that KILL is given to work. What still runs then belongs to another user, or waits in the
kernel for a device."""


@define(eq=False)
class Group:
    """The group of a child process, from its start until the last process has ended.

    Attributes:
        reactor: the reactor that runs the child.
        leader: its first process.
        grace: seconds between TERM and KILL.
        place: names the group in the log.
        gone: called once when no process of the group runs, or it was let go.
        has_exited: whether the exit of the leader was noticed.
        is_stopping: whether the group was asked to end.
        is_gone: whether `gone` was called.
    """

    reactor: Any
    leader: Leader
    grace: float
    place: Place
    gone: Callable[[], object]
    has_exited: bool = field(default=False, init=False)
    is_stopping: bool = field(default=False, init=False)
    is_gone: bool = field(default=False, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    """Has the group stopped, or killed."""
    _given_up: float | None = field(default=None, init=False)

    def exited(self) -> None:
        """Note that the leader has exited; call this once."""
        self.has_exited = True
        if self.is_stopping:
            self.reactor.callLater(0, self._await_end)

    def stop_the_rest(self) -> None:
        """Stop what the leader has left behind."""
        # In the next turn, because all children that have exited in this one share a look.
        self._timer = self.reactor.callLater(0, self.stop)

    def stop(self) -> None:
        """Ask the group to end, and kill what is left after the grace period; idempotent.

        If the leader has exited and nothing else is in its group, the signal has no effect.
        """
        if self.is_stopping or self.is_gone:
            return
        self._disarm()
        self.is_stopping = True
        self._signal(signal.SIGTERM)
        self._timer = self.reactor.callLater(self.grace, self._kill)
        if self.has_exited:
            self._await_end()

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._given_up = self.reactor.seconds() + _AFTER_KILL

    def _signal(self, number: int) -> None:
        try:
            self.leader.signal(number)
        except PermissionError:
            # Some systems say this of zombies, too.
            if self.leader.group_may_run():
                # All that is left of the group runs as another user: sudo started it, for example.
                log.warn("{place} could not be stopped: no permission", place=self.place.text)

    def kill_now(self) -> None:
        """Kill the group. The reactor will run no more timers: call `block_until_gone` next."""
        self._kill()

    def block_until_gone(self) -> None:
        """Block until the killed group has ended; idempotent."""
        while self.leader.group_may_run() and not self._is_given_up():
            time.sleep(FIRST_LOOK)
        self._ended()

    def _is_given_up(self) -> bool:
        return self._given_up is not None and self.reactor.seconds() >= self._given_up

    def _await_end(self, pause: float = FIRST_LOOK) -> None:
        if self.is_gone:
            return
        if not self.leader.group_may_run():
            self._ended()
        elif not self._is_given_up():
            self.reactor.callLater(pause, self._await_end, min(2 * pause, LONGEST_PAUSE))
        else:
            log.warn("{place}: it runs after KILL, and is let go", place=self.place.text)
            self._ended()

    def _ended(self) -> None:
        self.is_gone = True
        self._disarm()
        gone, self.gone = self.gone, _nothing  # Otherwise the two would form a cycle.
        gone()

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _nothing() -> None:
    """Stands for `Group.gone` once it was called."""

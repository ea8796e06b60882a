"""One call of a Celery task: its Deferred, and what is known about the task.

Runs in the reactor's thread; nothing here sends or asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from .._kinds.where import Place, place
from .._scopes.waits import Wait
from .celery_answers import Answers, Held, Pool, Stage

_SURE = 2
"""How many answers in a row must say that a task waits in its worker. A worker says so for a moment
after it has handed the task to a process."""


class Lost(Exception):
    """A worker stopped answering while it held a task that was given up.

    Nothing tells whether the task has stopped: it may still be running.
    """


@define(eq=False)
class Call:
    """One task, and the wait for it.

    Attributes:
        signature: what to send.
        id: the id of the task.
        expires: seconds after which no worker may begin it, or None.
        cancelled: called with this call when its Deferred is cancelled.
        began: when it was made, in seconds on the reactor's clock.
        result: the ``AsyncResult``. The publishing thread sets it.
        is_sent: whether that thread has reported that the task is sent.
        is_given_up: whether the task is no longer wanted. Any thread reads this.
        is_done: whether the task has ended, or nothing more will be learnt about it.
        is_unsure: whether to revoke it again, as perhaps no worker has received the revoke.
        is_signalled: whether the process that runs it was sent a signal.
        held: the worker that was the last to know it, or None.
        waits: how many answers in a row said that it waits in a worker.
    """

    signature: Any
    id: str
    expires: float | None
    cancelled: Callable[[Call], object]
    began: float = 0.0
    result: Any = field(default=None, init=False)
    is_sent: bool = field(default=False, init=False)
    is_given_up: bool = field(default=False, init=False)
    is_done: bool = field(default=False, init=False)
    is_unsure: bool = field(default=True, init=False)
    is_signalled: bool = field(default=False, init=False)
    held: Held | None = field(default=None, init=False)
    waits: int = field(default=0, init=False)
    _wait: Wait[Any] | None = field(default=None, init=False)
    _place: Place = field(factory=lambda: Place(""), init=False)

    def start(self) -> Deferred[Any]:
        """Begin to wait; returns the Deferred that fires when the task has ended."""
        self.tell("not sent yet")
        self._wait = Wait(self._cancel)
        assert self._wait.deferred is not None
        return place(self._wait.deferred, self._place)

    def _cancel(self, _: object) -> None:
        self.is_given_up = True
        self.cancelled(self)

    def tell(self, where: object) -> None:
        """Note where the task is, for reports."""
        self._place.text = f"Celery task {self.signature.task}[{self.id}], {where}"

    def end(self, result: Any) -> None:
        """Fire the Deferred, unless it has fired."""
        wait, self._wait = self._wait, None
        if wait is not None:
            wait.end(result)

    def judge(self, answers: Answers, is_complete: bool) -> Failure | None:
        """Learn from the answers of the workers how the task has ended, if it stored no result.

        Args:
            answers: what they say.
            is_complete: whether all workers have answered that are not lost.

        Returns:
            The failure to fire with; None if the task may run, now or later.
        """
        before, held = self.held, answers.held.get(self.id)
        self.is_unsure = held is None
        if held is not None:
            return self._judge_held(held, answers.pools.get(held.worker))
        if not is_complete:
            return None
        if before is not None and before.worker not in answers.workers:
            text = f"{before.worker} held the Celery task {self.id} and no longer answers"
            return Failure(Lost(f"{text}; the task may still be running"))
        if before is not None and self.is_signalled:
            # The worker forgets a task with the signal, even if the process handles it and goes on.
            pool = answers.pools.get(before.worker)
            return None if pool is None or before.pid in pool.pids else _cancelled()
        return _cancelled()

    def _judge_held(self, held: Held, pool: Pool | None) -> Failure | None:
        self.held = held
        self.tell(held)
        self.waits = self.waits + 1 if held.stage is Stage.WAITING else 0
        never_runs = pool is not None and pool.is_prefork and self.waits >= _SURE
        return _cancelled() if never_runs else None


def _cancelled() -> Failure:
    return Failure(CancelledError())

"""Stop Celery tasks that are given up: tell the workers, and ask them until each task has ended.

Runs in the reactor's thread, and leaves what blocks to `celery_messages`, in lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from .._log import log
from .._unavailable import Unavailable
from .celery_answers import Answers, Stage
from .celery_call import Call
from .celery_messages import Messages
from .celery_workers import Workers
from .lanes import Lane

_PAUSE = 0.5
"""Seconds between two questions to the workers, while tasks that were given up still run."""


@define(eq=False)
class Leaving:
    """The tasks that were given up and have not ended.

    Attributes:
        reactor: the reactor.
        messages: sends and receives, and blocks.
        terminate: the signal for tasks that run, or None.
        finish: called with a call, its result, and whether that may be deleted.
    """

    reactor: Any
    messages: Messages
    terminate: str | None
    finish: Callable[[Call, Any, bool], None]
    _workers: Workers = field(init=False)
    _leaving: Lane = field(init=False)
    _asking: Lane = field(init=False)
    _finding: Lane = field(init=False)
    _to_leave: dict[str, Call] = field(factory=dict, init=False)
    """To be given up with the next message."""
    _left: dict[str, Call] = field(factory=dict, init=False)
    """Given up."""
    _is_leaving: bool = field(default=False, init=False)
    _is_asking: bool = field(default=False, init=False)
    _is_finding: bool = field(default=False, init=False)
    _is_reachable: bool = field(default=True, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._workers = Workers(self.messages.lost_after)
        self._leaving = Lane(self.reactor, "cancelweb-celery-give-up")
        self._asking = Lane(self.reactor, "cancelweb-celery-ask")
        self._finding = Lane(self.reactor, "cancelweb-celery-find")

    # --- giving up ---

    def leave(self, call: Call) -> None:
        """Give a task up; together with others, while the former message is under way."""
        self._to_leave[call.id] = call
        self._leave_next()

    def forget(self, call: Call) -> None:
        """The task has ended."""
        self._to_leave.pop(call.id, None)
        self._left.pop(call.id, None)
        if not self._left:
            self._ask_no_more()

    def _leave_next(self) -> None:
        if self._to_leave and not self._is_leaving:
            self._is_leaving = True
            calls, self._to_leave = self._to_leave, {}
            leaving = self._leaving.call(self.messages.give_up, list(calls))
            leaving.addCallback(self._told, calls)
            leaving.addErrback(self.note)
            leaving.addCallback(self._have_left, calls)

    def _told(self, _: object, calls: dict[str, Call]) -> None:
        self._is_reachable = True
        for call in calls.values():
            call.is_unsure = False

    def _have_left(self, _: object, calls: dict[str, Call]) -> None:
        self._is_leaving = False
        # If the message was not sent, the questions send it again.
        self._left.update({each: call for each, call in calls.items() if not call.is_done})
        self._leave_next()
        self._ask_soon()

    # --- asking ---

    def _ask_soon(self) -> None:
        # Flags and signals end tasks, so the tasks behind them in the queue are revoked first.
        # Clients that leave without a pause delay the questions, but not without an end.
        self._ask_in(0 if self._is_reachable and not self._is_leaving else _PAUSE)

    def _ask_in(self, seconds: float) -> None:
        """Ask then, unless that is to happen earlier."""
        if self._timer is not None:
            seconds = min(seconds, self._timer.getTime() - self.reactor.seconds())
        self._ask_no_more()
        if self._left:
            self._timer = self.reactor.callLater(max(seconds, 0), self._ask)

    def _ask_no_more(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _ask(self) -> None:
        self._timer = None
        if not self._is_asking:
            self._is_asking = True
            self._find()
            calls = dict(self._left)
            asking = Deferred.fromCoroutine(self._ask_about(list(calls.values())))
            asking.addErrback(self.note).addCallback(self._have_asked, calls)

    async def _ask_about(self, calls: list[Call]) -> None:
        answers = await self._asking.call(
            self.messages.ask,
            [each.id for each in calls],
            [each.id for each in calls if each.is_unsure],
            self._workers.enough(),
            any(each.is_signalled for each in calls),
        )
        self._is_reachable = True
        running = self._answered(answers, calls)
        if running and self.terminate is not None:
            for call in running:
                call.is_signalled = True
            ids = [each.id for each in running]
            await self._asking.call(self.messages.terminate, ids, self.terminate)

    def _answered(self, answers: Answers, calls: list[Call]) -> list[Call]:
        """Judge each task; returns those that run and got no signal yet."""
        now = self.reactor.seconds()
        self._workers.answered(answers.workers, now)
        is_complete = self._workers.are_all(answers.workers, now)
        running = []
        for call in calls:
            held = answers.held.get(call.id)
            if call.id in answers.ends:
                self.finish(call, answers.ends[call.id], True)
            elif (end := call.judge(answers, is_complete)) is not None:
                self.finish(call, end, False)
            elif held is not None and held.stage is Stage.ACTIVE and not call.is_signalled:
                running.append(call)
        return running

    def _have_asked(self, _: object, calls: dict[str, Call]) -> None:
        self._is_asking = False
        if self._left.keys() <= calls.keys():
            self._ask_in(_PAUSE)
        else:
            self._ask_soon()

    # --- finding the workers ---

    def _find(self) -> None:
        """Look for workers, in a lane of its own: a question does not wait for that second."""
        if not self._is_finding and not self._workers.are_known(self.reactor.seconds()):
            self._is_finding = True
            finding = self._finding.call(self.messages.workers)
            finding.addCallbacks(self._found, self.note).addCallback(self._have_found)

    def _found(self, workers: Set[str]) -> None:
        self._workers.found(workers, self.reactor.seconds())

    def _have_found(self, _: object) -> None:
        self._is_finding = False

    # --- whether the servers can be reached ---

    def note(self, failure: Failure) -> None:
        """Log that messages cannot be sent, once until they can."""
        if failure.check(Unavailable) is None:
            log.failure("a message about Celery tasks failed", failure)
        elif self._is_reachable:
            self._is_reachable = False
            text = "{reason}; Celery tasks that were given up are stopped once it is back"
            log.warn(text, reason=failure.getErrorMessage())

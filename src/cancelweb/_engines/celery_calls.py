"""The calls of Celery tasks under way: what is sent, and the results that arrive.

Runs in the reactor's thread, and leaves what blocks to `celery_messages`, in lanes.
`celery_leaving` stops the tasks that are given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from copy import copy
from functools import partial
from typing import Any

from attrs import define, field
from celery.exceptions import SoftTimeLimitExceeded
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from .._unavailable import Unavailable
from .celery_answers import result_of
from .celery_call import Call
from .celery_leaving import Leaving
from .celery_messages import Messages
from .lanes import Lane


@define(eq=False)
class CallsUnderWay:
    """All calls of one app.

    Attributes:
        reactor: the reactor.
        messages: sends and receives, and blocks.
        leaving: stops tasks.
    """

    reactor: Any
    messages: Messages
    leaving: Leaving = field(init=False)
    _publishing: Lane = field(init=False)
    _reading: Lane = field(init=False)
    _awaited: dict[str, Call] = field(factory=dict, init=False)
    """Tasks that were sent, and whose results are read."""
    _is_reading: bool = field(default=False, init=False)
    _lost: Unavailable | None = field(default=None, init=False)
    """The last failure to send a task. Only the publishing thread uses this."""
    _lost_at: float = field(default=0.0, init=False)

    @classmethod
    def make(cls, reactor: Any, messages: Messages, terminate: str | None) -> CallsUnderWay:
        """Make one without calls, with its lanes."""
        made = cls(reactor, messages)
        made.leaving = Leaving(reactor, messages, terminate, made.finish)
        made._publishing = Lane(reactor, "cancelweb-celery-publish")
        made._reading = Lane(reactor, "cancelweb-celery-read")
        return made

    # --- publishing ---

    def start(self, signature: Any, task_id: str, expires: float | None) -> Deferred[Any]:
        """Send a task; see ``cancelweb.celery.Calls.run``."""
        call = Call(signature, task_id, expires, self._cancelled, self.reactor.seconds())
        waiting = call.start()
        published = self._publishing.call(copy_context().run, self._publish, call)
        published.addCallbacks(partial(self._published, call), call.end)
        return waiting

    def _publish(self, call: Call) -> bool:
        """Send a task, in the lane's thread, unless it is no longer wanted; returns which."""
        if call.is_given_up or self._publishing.is_over:
            return False
        if self._lost is not None and call.began <= self._lost_at:
            # If each call waited for a silent server, the last one in the line would wait long.
            raise copy(self._lost)
        try:
            call.result = self.messages.publish(call.signature, call.id, call.expires)
        except Unavailable as error:
            self._lost, self._lost_at = copy(error), self.reactor.seconds()
            raise
        call.result.then(partial(self._heard, call))
        return True

    def _published(self, call: Call, is_sent: bool) -> None:
        if not is_sent:
            call.end(Failure(CancelledError()))
        elif not call.is_done:
            # Otherwise the task was faster than this report.
            call.is_sent = True
            call.tell("sent")
            self._awaited[call.id] = call
            self._read()
            if call.is_given_up:
                self.leaving.leave(call)

    def _cancelled(self, call: Call) -> None:
        if call.is_sent:
            self.leaving.leave(call)

    # --- reading ---

    def _read(self) -> None:
        if self._is_needed() and not self._is_reading:
            self._is_reading = True
            reading = self._reading.call(self.messages.read, self._is_needed, self._changed)
            reading.addCallbacks(self._has_read, self._is_lost)

    def _is_needed(self) -> bool:
        return bool(self._awaited) and not self._reading.is_over

    def _has_read(self, _: object) -> None:
        self._is_reading = False
        self._read()

    def _changed(self, meta: Any) -> None:
        """A task is in another state, says Celery, in the reading thread."""
        call = self._awaited.get(meta.get("task_id"))
        if call is not None and not call.is_given_up:
            call.tell(f"in the state {meta.get('status')}")

    def _heard(self, call: Call, result: Any) -> None:
        """A task has ended, says Celery, in one of the threads."""
        value = result_of(result.state, result.result, result.traceback)
        self.reactor.callFromThread(self._ended, call, result.state, value)

    def _ended(self, call: Call, state: str, value: Any) -> None:
        self._awaited.pop(call.id, None)
        if not (call.is_given_up and state == "REVOKED"):
            # Any worker says REVOKED, even if another one runs the task.
            self.finish(call, value, True)

    def _is_lost(self, failure: Failure) -> None:
        """Fail all calls, as no results arrive, or those whose results cannot be decoded."""
        self._is_reading = False
        if failure.check(Unavailable):
            self._fail(failure, list(self._awaited))
        else:
            finding = self._publishing.call(self.messages.unreadable, list(self._awaited))
            finding.addErrback(lambda _: ())
            finding.addCallback(lambda ids: self._fail(failure, ids or list(self._awaited)))

    def _fail(self, failure: Failure, ids: Sequence[str]) -> None:
        """Fail these calls, and read on. Their tasks are stopped once that is possible."""
        lost = [self._awaited.pop(each) for each in ids if each in self._awaited]
        results = [each.result for each in lost]
        self._publishing.call(self.messages.unsubscribe, results).addErrback(self.leaving.note)
        for call in lost:
            if not call.is_given_up:
                call.is_given_up = True
                self.leaving.leave(call)
                call.end(failure)
        self._read()

    # --- the end ---

    def finish(self, call: Call, value: Any, is_forgotten: bool) -> None:
        """Fire the Deferred of a call, once.

        Args:
            call: the call.
            value: the result, or a failure.
            is_forgotten: whether to delete what the backend has stored. It is kept for a task that
                may begin, because the worker has lost the revoke: its abort flag is in there.
        """
        self._awaited.pop(call.id, None)
        self.leaving.forget(call)
        call.is_done = True
        is_by_signal = isinstance(value, Failure) and value.check(SoftTimeLimitExceeded)
        call.end(Failure(CancelledError()) if call.is_signalled and is_by_signal else value)
        messages = self.messages
        forget = messages.forget if is_forgotten else messages.unsubscribe
        self._publishing.call(forget, [call.result]).addErrback(self.leaving.note)

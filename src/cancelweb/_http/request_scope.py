"""The scope of a request of Twisted Web, and the one fast path.

A scope that waits for no more than what its handler returned is one object: it is itself what
Twisted tells of the end of the request (`listeners`), and what is told of the end of the work
(`watched`). All else goes the general way, through `life`. So does such a scope as soon as more is
asked of it: its life then has the work handed over. How an answer is written is for `answering`,
what a handler returned for `handler_call`, what Twisted fails to tell for `reports`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from types import CoroutineType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import NOT_DONE_YET

from .._kinds.cancellations import clean, is_cancellation
from .._kinds.cancellers import global_reactor
from .._scopes.context import current
from .._scopes.life import Life
from .._scopes.options import Options
from .._scopes.parts import Stopping
from .._scopes.record import Record
from .._scopes.scope import Scope
from .._scopes.states import ANSWERED, CLOSED, FINISHED, LOST, OPEN, RUNNING, STOPPING, Step
from .._scopes.work import Work
from ..causes import Cause, Disconnected, Ended
from .answerer import Answerer, Call
from .dead_requests import guard_finished, guard_lost, guarded_fate_of
from .listeners import after_others
from .pages import send
from .reports import Reports
from .request_facts import fate_of
from .watched import Watched, canceller_of, is_running, stop, watch

MakeCall = Callable[["RequestScope", object], Call]
"""Makes the `Call` of the outermost handler of a scope, for the general way."""

SIMPLE_CHANNEL: type = HTTPChannel
"""The channels whose requests may take the fast path: those of HTTP/1."""


class RequestScope(Scope):
    """The lifetime of one request of Twisted Web.

    Attributes:
        method: the one that the handler was called for: under a faked HEAD a GET, and not the one
            that the client sent.
        channel: the request's; over HTTP/2, its stream. A lost request has forgotten it.
        has_returned: whether the call of the outermost handler has returned.
        handler: this handler, once something is waited for; what errors name.
        answerer: receives what it came to. On the fast path there is none until one is needed.
    """

    channel: Any = None
    handler: object = None
    answerer: Answerer | None = None
    _reports: Reports | None = None
    # The one piece of work that the fast path watches, and its coroutine, if it is of one.
    _suspended: object = None
    # The same work, once it was handed over, and how to go on with its result.
    _handed_over: Work | None = None
    _make_call: MakeCall | None = None

    def __init__(self, request: Any, options: Options) -> None:
        # As that of `Scope`, without another call.
        self.request = request
        self.options = options
        try:
            self.clock: IReactorTime = options.clock or request.site.reactor
        except AttributeError:
            # A request without a Site.
            self.clock = global_reactor()
        self.state = RUNNING
        self.fate = OPEN
        self.opened: float | None = None
        self.context: Context | None = None
        self._life: Life | None = None
        self.method: bytes = request.method
        self.has_returned = False
        self.watched: Watched | None = None

    @property
    def reports(self) -> Reports:
        """How it hears of the end of its request in the general way; made on demand."""
        if self._reports is None:
            self._reports = Reports(self)
            # A scope without a life is on the fast path.
            _ = self.life
        return self._reports

    @property
    def listeners(self) -> tuple[object, ...]:
        """What cancelweb has among the listeners of the request."""
        return (self, None if self._reports is None else self._reports.subscription)

    # --- what a scope asks of its request ---

    @property
    def is_in_call(self) -> bool:
        """See `Subject`."""
        return not self.has_returned and self.fate is OPEN

    @property
    def is_interruptible(self) -> bool:
        """See `Subject`."""
        return self.options.may_cancel(self.method)

    def hand_over(self, stopping: Stopping) -> None:
        """See `Subject`."""
        watched, self.watched = self.watched, None
        if watched is not None:
            canceller = canceller_of(watched, self._suspended)
            self._handed_over = stopping.adopt(canceller, self._call().arrived, self.cancelled)

    def _call(self) -> Call:
        assert self._make_call is not None
        call = self._make_call(self, self.handler)
        self.answer_with(call.answerer)
        return call

    def answer_with(self, answerer: Answerer) -> None:
        """Have this receive what the outermost handler has come to."""
        self.answerer = answerer
        self.channel = self.channel or getattr(self.request, "channel", None)

    def answer_cancel(self, cause: Cause) -> None:
        """See `Subject`."""
        if self.answerer is not None and self.fate is OPEN:
            self.answerer.answer_cancel(cause)
            self.catch_up()

    def catch_up(self, is_reported_by_now: bool = False) -> None:
        """See `Subject`."""
        if self.fate is not OPEN or self.is_in_call or self.request is None:
            return
        fate = fate_of(self.request)
        if fate is not OPEN:
            self.reports.see(fate, is_reported_by_now)

    def end(self) -> None:
        """See `Subject`."""
        super().end()
        if self._reports is not None:
            self._reports.close()
        self.handler = self.answerer = self.channel = self._reports = self._suspended = None
        if self._handed_over is not None and self._handed_over.step is Step.ENDED:
            self._handed_over = None

    # --- the general way ---

    def call_returned_to(self, answerer: Answerer, handler: object) -> None:
        """The outermost handler's call has returned."""
        self.answer_with(answerer)
        self.has_returned, self.handler = True, handler
        if self.state is STOPPING:
            self.life.stopping.ask_in_next_turn()

    def withdraw(self) -> None:
        """Close without hooks and observers: for a faked HEAD the handler is called once more."""
        for monitor in self.options.monitors:
            monitor.scope_withdrawn(self)
        self.life.close()

    # --- the fast path ---

    def take(self, result: Any, handler: object, make_call: MakeCall) -> object:
        """Take what the outermost handler has returned; called in its context.

        Args:
            result: what it is.
            handler: what was called.
            make_call: makes its `Call`.

        Returns:
            Where `has_returned` is set by now, what to return for the call; else what to take in
            the general way.
        """
        kind = type(result)
        if kind is CoroutineType:
            self._suspended, result = result, Deferred.fromCoroutine(result)
        request, life = self.request, self._life
        if request.finished or request.channel is None:
            return self._of_coroutine(result)
        if life is not None and not life.is_without_work:
            return self._of_coroutine(result)
        if kind is bytes:
            self.has_returned = True
            if life is not None:
                return self._clean_up_before(result, life)
            # Nothing is left to wait for, nor to tell: Twisted writes them at once.
            self.fate, self.state, self.request = FINISHED, CLOSED, None
            return result
        self.watched = watch(result, self.settled)
        if self.watched is None:
            return self._of_coroutine(result)
        self.has_returned, self.context = True, copy_context()
        self.handler, self._make_call = handler, make_call
        if self.opened is None:
            self.opened = self.clock.seconds()
        request.notifications.insert(0, self)
        return NOT_DONE_YET

    def _of_coroutine(self, result: Any) -> object:
        """What to wait for in the general way; it remembers the coroutine that it is of."""
        return result if self._suspended is None else canceller_of(result, self._suspended)

    def _clean_up_before(self, body: bytes, life: Life) -> bytes | int:
        """Run the hooks, and give back what Twisted writes then; a hook may have answered."""
        request, self.context = self.request, copy_context()
        if self.opened is None:
            self.opened = self.clock.seconds()
        life.clean_up()
        if self.state is not CLOSED:
            self.reports.subscribe()
        return body if guarded_fate_of(request) is OPEN else NOT_DONE_YET

    def settled(self, result: object) -> object:
        """What is watched here, or was handed over, has come to its end."""
        if self.watched is None:
            assert self._handed_over is not None
            return self._handed_over.settled(result)
        request = self.request
        if self.state is RUNNING and type(result) is bytes and not request.finished:
            self.watched = None
            if request.channel is not None:
                try:
                    send(request, result)
                except BaseException:
                    self._call().answerer.deliver(Failure())
            if self.state is RUNNING:
                self.catch_up()
        elif self.state is ANSWERED and not isinstance(result, Failure):
            self.watched = None
            if self._life is None:
                self._close()
            else:
                self._life.go_on()
        elif self.state is STOPPING and isinstance(result, Failure) and is_cancellation(result):
            self.watched = None
            clean(result)
        else:
            self.hand_over(self.life.stopping)
            return self.settled(result)
        return None

    def callback(self, _: object) -> None:
        """Twisted tells its listeners that the response is finished."""
        request = self.request
        if request is None:
            return
        life, watched = self._life, self.watched
        if len(request.notifications) > 1 or request.method is not self.method:
            after_others(request, self.reports.finished)
        elif life is None:
            guard_finished(request)
            self.fate = FINISHED
            if watched is None:
                self._close()
            else:
                self.state = ANSWERED
        elif watched is None and life.is_without_work and self.state is RUNNING:
            guard_finished(request)
            life.clean_up()
        else:
            self.reports.finished()

    def errback(self, failure: Failure) -> None:
        """Twisted tells its listeners that the client has left."""
        request, watched = self.request, self.watched
        if request is None:
            return
        if not request.finished:
            guard_lost(request)
        if watched is None or self._life is not None or len(request.notifications) > 1:
            after_others(request, partial(self.reports.lost, failure))
        elif self.state is RUNNING and self._may_stop(watched):
            self._stop(watched, failure)
        else:
            self.reports.lost(failure)

    def _may_stop(self, watched: Watched) -> bool:
        """Whether the loss of the client stops the work, and at once."""
        options = self.options
        if options.dry_run or not (options.any_method or options.may_cancel(self.method)):
            return False
        return current.get() is not self and not is_running(watched, self._suspended)

    def _stop(self, watched: Watched, failure: Failure) -> None:
        self.fate, self.state, self.cause = LOST, STOPPING, Disconnected(failure)
        self.cancelled = self.clock.seconds()
        assert self.context is not None
        if stop(watched, self.context):
            self.watched = None
        if self.watched is None and self._handed_over is None:
            self._all_ended(Ended.STOPPED)
        elif self.state is not CLOSED:
            life = self.life
            stopping = life.stopping
            assert self._handed_over is not None
            stopping.was_asked(self._handed_over)
            life.go_on()

    def _all_ended(self, ended: Ended) -> None:
        if self._life is not None:
            self._life.record.worsen(ended)
            self._life.go_on()
        elif self.cause is None or self.options.observers == ():
            self._close()
        else:
            Record(ended).tell(self, None, self._close)

    def _close(self) -> None:
        self.state, self.request, self.context, self.handler = CLOSED, None, None, None

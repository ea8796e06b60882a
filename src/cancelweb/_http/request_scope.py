"""The scope of a request of Twisted Web, and the fast path.

A scope that waits only for what its handler returned is a single object. It is the listener that
Twisted calls at the end of the request (`listeners`), and `settled` is the callback of the work.
Any other scope takes the general way (`life` and `general_way`).
"""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from .._kinds.cancellations import clean, is_our_cancellation
from .._kinds.cancellers import global_reactor
from .._kinds.timers import CANCELLED
from .._scopes.bare import FRESH
from .._scopes.context import current, start_for
from .._scopes.found_context import find_context_at_end, find_context_of
from .._scopes.options import Options
from .._scopes.parts import Stopping
from .._scopes.record import Record
from .._scopes.scope import Scope
from .._scopes.states import ANSWERED, CLOSED, FINISHED, LOST, OPEN, RUNNING, STOPPING, Step
from ..causes import Cause, Disconnected, Ended
from .answerer import Call
from .dead_requests import guard_finished, guard_lost
from .frameworks import note_unawaited
from .general_way import GeneralWay
from .listeners import failure_of, log_escape
from .pages import send
from .request_facts import answer_of, fate_of
from .watched import Watched, can_stop, canceller_of, is_answer, stop, unwatched, watch


class RequestScope(Scope):
    """The lifetime of one request of Twisted Web."""

    __slots__ = ("_general", "_suspended", "method")
    make_call: ClassVar[Callable[[RequestScope, object], Call]]  # Set by `serving`.
    _suspended: object  # The coroutine behind the watched Deferred, if there is one.
    _general: GeneralWay | None
    watched: Watched | None
    finished_early = note_unawaited

    def __init__(self, request: Any, options: Options) -> None:
        self._request: Any = request  # The same as `Scope.__init__`, without the cost of a call.
        self.options = options
        try:
            self.clock: IReactorTime = options.clock or request.site.reactor
        except AttributeError:  # A request without a Site.
            self.clock = global_reactor()
        self.method: bytes = request.method  # Under a faked HEAD it is GET.
        self.state, self.fate, self.rare, self.has_own_context = FRESH
        self._cause = self._general = self._life = self._suspended = self.limits = None
        self.cancelled = self.context = self.handler = self.opened = self.watched = None

    @property
    def general(self) -> GeneralWay:
        """The state that only the general way needs, made on demand together with `life`."""
        if self._general is None:
            self._general, _ = GeneralWay(self), self.life
        return self._general

    @property
    def is_in_call(self) -> bool:
        """See `Subject`."""
        return self.handler is None and self.fate is OPEN

    @property
    def is_interruptible(self) -> bool:
        """See `Subject`."""
        return self.options.may_cancel(self.method)

    def hand_over(self, stopping: Stopping) -> None:
        """See `Subject`."""
        if self.watched is not None:
            watched, self.watched = self.watched, None
            find_context_of(self, watched)
            canceller, call = canceller_of(watched, self._suspended), self.general.call()
            work = stopping.adopt(canceller, call.arrived, self.cancelled)
            self.own_rare().handed_over = work

    @property
    def is_answered(self) -> bool:
        """See `Subject`."""
        return self._request is not None and fate_of(self._request) is FINISHED

    def answer_cancel(self, cause: Cause) -> None:
        """See `Subject`."""
        if self.handler is not None and self.fate is OPEN:
            self.general.answer_cancel(cause)
            self.catch_up()

    def answered_with(self) -> tuple[int | None, int]:
        """See `Subject`."""
        return answer_of(self._request) if self._general is None else self._general.answered_with()

    def catch_up(self, is_reported_by_now: bool = False) -> None:
        """See `Subject`."""
        is_open = self.fate is OPEN and self.handler is not None and self._request is not None
        if is_open and (fate := fate_of(self._request)) is not OPEN:
            self.general.see(fate, is_reported_by_now)

    def end(self) -> None:
        """See `Subject`."""
        if self._general is not None:
            self._general.close()
            if (work := self.rare.handed_over) is not None and work.step is Step.ENDED:
                self.rare.handed_over = None
        Scope.end(self)
        self._general = self._suspended = self.handler = None

    def take(self, result: Any, handler: object) -> object:
        """Take the outermost handler's result, and return what the call returns.

        If `is_in_call` is still true then, this is instead a result for the general way.
        """
        if (kind := type(result)) is CoroutineType:
            self._suspended, result = result, start_for(self, result)
        request, life = self._request, self._life
        is_open = not request.finished and request.channel is not None
        if is_open and (life is None or life.is_without_work):
            if kind is bytes:
                return self._give_back(result, handler)
            self.watched = watch(result, self.settled)
        if self.watched is None:
            return unwatched(result, self._suspended)
        self.handler = handler
        if life is not None:
            find_context_of(self, result)  # Without a life, `hand_over` does this later.
        if self.opened is None:
            self.opened = self.clock.seconds()
        request.notifications.insert(0, self)
        return NOT_DONE_YET

    def _give_back(self, body: bytes, handler: object) -> bytes | int:
        # There is nothing to wait for, and Twisted writes the body at once.
        if self._life is not None:
            self.handler = handler
            return self.general.clean_up_before(body)
        self.fate, self.state, self._request, self.context = FINISHED, CLOSED, None, None
        return body

    def settled(self, result: object) -> object:
        """Handle the end of the returned work; the callback and errback of that work."""
        if self.watched is None or self.state is not RUNNING or type(result) is not bytes:
            return self._settled_otherwise(result)
        request, handler, self.watched = self._request, self.handler, None
        if not request.finished and request.channel is not None:
            try:
                send(request, result)
            except BaseException:
                self.make_call(handler).answerer.deliver(Failure())
        if self.state is RUNNING:
            self.catch_up()
        return None

    def _settled_otherwise(self, result: object) -> object:
        if self.watched is not None:
            if self.state is ANSWERED and is_answer(result):
                self.watched = None
                self._all_ended(Ended.COMPLETED)
                return None
            if self.state is STOPPING and is_our_cancellation(result, True):
                self.watched = None  # `_stop`, which is on the stack, does the rest.
                clean(result)
                return None
            find_context_at_end(self)
            self.hand_over(self.life.stopping)
        assert self.rare.handed_over is not None
        return self.rare.handed_over.settled(result)

    def callback(self, _: object) -> None:
        """Handle the finished response, as a listening Deferred would."""
        request = self._request
        try:
            if request is None:
                return
            if len(request.notifications) > 1 or request.method is not self.method:
                return self.general.finished_after_others()
            guard_finished(request)
            if self._life is not None:
                self._life.finished()
            elif self.watched is not None:
                note_unawaited(self, self._suspended)
                self.fate, self.state = FINISHED, ANSWERED
            else:
                self.fate = FINISHED
                self._close()
        except BaseException:
            log_escape()

    def errback(self, failure: Failure | None) -> None:
        """Handle the loss, as a listening Deferred would. Keeps no reference to the work."""
        request = self._request
        try:
            if request is None:
                return
            if not request.finished:
                guard_lost(request)
            if self.watched is None or self._life is not None or len(request.notifications) > 1:
                self.general.lost_after_others(failure)
            elif self.state is RUNNING and not request.finished and self._may_stop(self.watched):
                self._stop(failure)
            else:
                self.general.lost(failure)
        except BaseException:
            log_escape()

    def _may_stop(self, watched: Watched) -> bool:
        if self.options.dry_run or self._request.startedWriting:  # The client may have it all.
            return False
        is_allowed = self.options.any_method or self.options.may_cancel(self.method)
        return is_allowed and can_stop(watched, self._suspended, current.get() is self)

    def _stop(self, failure: Failure | None) -> None:
        failure = failure if type(failure) is Failure else failure_of(failure)
        self.fate, self.state, self._cause = LOST, STOPPING, Disconnected(failure)
        self.cancelled = self.clock.seconds()
        has_ended = stop(self.watched, self._suspended, self.context)
        if has_ended is None:
            return self.general.lost_after_all(failure)
        if has_ended:
            if self.rare.handed_over is not None:
                self.rare.handed_over.settled(CANCELLED)
            self.watched = None
        if self.watched is not None or self.rare.handed_over is not None:
            self.life.stopping.was_asked(self.rare.handed_over)
            self.life.go_on()
        elif self.state is not CLOSED:
            # If the scope has closed, the work was handed over meanwhile and has ended.
            self._all_ended(Ended.STOPPED)

    def _all_ended(self, ended: Ended) -> None:
        if self._life is not None:
            self._life.record.worsen(ended)
            self._life.go_on()
        elif self._cause is None or self.options.observers == ():
            self._close()
        else:
            Record(ended).tell(self, None, self._close)

    def _close(self) -> None:
        self.state, self._request, self.context = CLOSED, None, None
        self.handler = self._suspended = None

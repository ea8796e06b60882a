"""The general way of a request's scope: everything that the fast path does without.

This module passes the result to the answerer. It also notices the end of a request that Twisted
does not report: ``notifyFinish`` never fires for an end that came before the call (Twisted ticket
4899), or if an exception in other code interrupts the report. The scope's `life` acts on the end.
"""

from __future__ import annotations

from contextvars import Context
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from .._scopes.life import Life
from .._scopes.rare import Rare
from .._scopes.states import CLOSED, FINISHED, LOST, OPEN, RUNNING, Fate, State
from ..causes import Cause, Disconnected
from .answerer import Answerer, Call
from .dead_requests import guard, guarded_fate_of, release_producer
from .faked_head import was_faked_head
from .listeners import after_others, failure_of, guard_before_others, takes_listeners
from .rapid_resets import claim_on
from .request_facts import answer_of, answer_to_come, fate_of, has_begun
from .streams import Stream
from .whole import (
    count_as_finished,
    has_no_body,
    has_whole_response,
    left_with_whole_response,
)


class Traveller(Protocol):
    """The part of a `RequestScope` that this module uses."""

    method: bytes
    handler: object
    clock: IReactorTime
    context: Context | None
    fate: Fate
    state: State
    _cause: Cause | None
    cancelled: float | None
    opened: float | None
    rare: Rare

    @property
    def request(self) -> Any:
        """See `Scope`."""

    @property
    def cause(self) -> Cause | None:
        """See `Scope`."""

    def own_rare(self) -> Rare:
        """See `Subject`."""

    @property
    def life(self) -> Life:
        """See `Scope`."""

    def make_call(self, handler: object) -> Call:
        """See `RequestScope`."""


class GeneralWay:
    """The further state and methods of a scope that is not, or no longer, on the fast path.

    Attributes:
        channel: the channel of the request; over HTTP/2, its stream. A lost request drops it.
        answerer: receives the result of the outermost handler; None until its call has returned.
        subscription: the Deferred from ``notifyFinish``, if the request's class overrides that.
        to_come: the status and the body length with which Twisted is about to answer, see
            `answer_to_come`; None if these are not known yet.
    """

    def __init__(self, scope: Traveller) -> None:
        self.channel: Any = getattr(scope.request, "channel", None)
        self.answerer: Answerer | None = None
        self.subscription: Deferred[None] | None = None
        self.to_come: tuple[int, int] | None = None
        self._scope = scope
        self._second_look: IDelayedCall | None = None

    def call(self) -> Call:
        """The call of the handler whose work the fast path has watched so far."""
        scope = self._scope
        call = scope.make_call(scope.handler)
        self.answerer = call.answerer
        return call

    def answer_cancel(self, cause: Cause) -> None:
        """See `Answerer`."""
        self.note_abandoned()  # The client gets another answer, and may ask again.
        # The fast path makes no answerer, and may be in the middle of its answer.
        answerer = self.answerer or self.call().answerer
        answerer.answer_cancel(cause)

    def clean_up_before(self, body: bytes) -> bytes | int:
        """Run the hooks before Twisted writes the body of a handler that has begun no work.

        Returns:
            The body, or ``NOT_DONE_YET`` if a hook has answered the request.
        """
        scope, request = self._scope, self._scope.request
        self.to_come = answer_to_come(request, body)
        if scope.opened is None:
            scope.opened = scope.clock.seconds()
        scope.life.finished()
        if scope.state is not CLOSED:
            self.subscribe()
        return body if guarded_fate_of(request) is OPEN else NOT_DONE_YET

    def answered_with(self) -> tuple[int | None, int]:
        """See `Subject`."""
        request = self._scope.request
        is_to_come = fate_of(request) is not LOST and not has_begun(request)
        return self.to_come if is_to_come and self.to_come else answer_of(request)

    def subscribe(self) -> None:
        """Listen for the end of the request, or handle it now if it has already ended.

        A scope whose hooks still run when Twisted receives the result listens, too: from the end of
        the request on, those hooks must find it guarded.
        """
        request = self._scope.request
        fate = fate_of(request)
        if fate is not OPEN:
            self._over(fate)
        elif takes_listeners(request):
            request.notifications.insert(0, self._scope)
        else:
            guard_before_others(request)
            self.subscription = request.notifyFinish()
            self.subscription.addCallbacks(lambda _: self.finished(), self.lost)

    def finished_after_others(self) -> None:
        """Handle the finished response after the request's other listeners; ours is told first."""
        after_others(self._scope.request, self.finished)

    def lost_after_others(self, failure: Failure | None) -> None:
        """Handle the loss of the client after the request's other listeners; ours is told first."""
        request = self._scope.request
        self._look_whether_whole()
        if len(request.notifications) > 1:
            # If another listener raises, Twisted does not call the rest, so look again next turn.
            self.see(LOST, is_reported_by_now=False)
        after_others(request, partial(self.lost, failure))

    def finished(self) -> None:
        """The response is finished."""
        request, method = self._scope.request, self._scope.method
        if request is not None:
            guard(request, FINISHED)
            # The client has the head of a response without a body. Its handler would write for
            # nothing, maybe forever, so the work is leftover.
            is_bodiless = left_with_whole_response(request) and has_no_body(request)
            self._scope.life.finished(was_faked_head(request, method) or is_bodiless)

    def lost(self, failure: Failure | None) -> None:
        """The client has left."""
        if self._scope.request is None:
            return
        self._look_whether_whole()
        if self._scope.fate is OPEN:
            # Otherwise the loss was noticed before Twisted reported it.
            self._end_with_loss(failure)

    def _look_whether_whole(self) -> None:
        """Guard a lost request; count it as finished if the client has the whole response."""
        request = self._scope.request
        if fate_of(request) is not FINISHED:
            guard(request, LOST)
            # If the request was cancelled or given up, this side has broken the response off.
            if self._scope.state is RUNNING and has_whole_response(request, self.channel):
                count_as_finished(request)

    def _end_with_loss(self, failure: Failure | None) -> None:
        scope, request = self._scope, self._scope.request
        self.note_abandoned()
        producer = release_producer(request, self.channel, scope.context)
        if fate_of(request) is FINISHED:
            self.finished()
        else:
            scope.life.lost(Disconnected(failure_of(failure)))
        if isinstance(producer, Stream):
            # A stream that was not cancelled runs to its end, although nothing receives it.
            producer.resumeProducing()

    def lost_after_all(self, failure: Failure | None) -> None:
        """Handle the loss here: the fast path was about to stop the work, and has done nothing."""
        scope = self._scope
        scope.fate, scope.state, scope._cause, scope.cancelled = OPEN, RUNNING, None, None
        self.lost(failure)

    def note_abandoned(self) -> None:
        """Count this request against ``max_abandoned`` until nothing of it runs any more."""
        if self._scope.rare.claim is None and (claim := claim_on(self.channel)) is not None:
            self._scope.own_rare().claim = claim

    def see(self, fate: Fate, is_reported_by_now: bool) -> None:
        """Handle the end of a request that was noticed, but not reported.

        Twisted renders the next pipelined request inside the ``finish`` of this one. If that
        rendering raises, Twisted does not call the listeners of this request.

        Args:
            fate: whether the request is finished or lost.
            is_reported_by_now: see `Subject.catch_up`.
        """
        if fate is FINISHED or is_reported_by_now:
            self._over(fate)
        elif self._second_look is None:
            self._second_look = self._scope.clock.callLater(0, self._look_again)

    def _look_again(self) -> None:
        self._second_look = None
        self.lost(None)

    def _over(self, fate: Fate) -> None:
        if fate is FINISHED:
            self.finished()
        else:
            self.lost(None)

    def close(self) -> None:
        """Drop every reference to the request, because the scope has closed."""
        # The request refers to this object through its list of listeners, which Twisted does not
        # clear if one of them raises.
        self.answerer = self.channel = None
        if self._scope.rare.claim is not None:
            self._scope.rare.claim = None
        if self._second_look is not None and self._second_look.active():
            self._second_look.cancel()

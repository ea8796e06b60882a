"""The general way of a request's scope: all that one on the fast path does without.

Who receives the result, and how the scope hears of the end of its request where Twisted does not
tell: ``notifyFinish`` tells nothing of what was before (Twisted ticket 4899), nor does it where an
exception of other code comes between. What comes of an end is for the scope's `life`.
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
from .._scopes.states import CLOSED, FINISHED, LOST, OPEN, RUNNING, Fate, State
from ..causes import Cause, Disconnected
from .answerer import Answerer, Call
from .dead_requests import guard, guarded_fate_of, release_producer
from .faked_head import was_faked_head
from .listeners import after_others, guard_before_others, takes_listeners
from .rapid_resets import abandoned_beside
from .request_facts import answer_of, answer_to_come, fate_of, has_begun
from .streams import Stream
from .whole import (
    count_as_finished,
    has_no_body,
    has_whole_response,
    left_with_whole_response,
)


class Traveller(Protocol):
    """A `RequestScope`, as far as it is needed here."""

    request: Any
    method: bytes
    handler: object
    clock: IReactorTime
    context: Context | None
    fate: Fate
    state: State
    cause: Cause | None
    cancelled: float | None
    opened: float | None

    @property
    def life(self) -> Life:
        """See `Scope`."""

    def make_call(self, handler: object) -> Call:
        """See `RequestScope`."""


class GeneralWay:
    """What one scope has besides, once it has left the fast path, or never was on it.

    Attributes:
        channel: the request's; over HTTP/2, its stream. A lost request has forgotten it.
        answerer: receives what the outermost handler came to; None until its call has returned.
        subscription: what the request has handed out, if it keeps its listeners in a way of its
            own.
        to_come: the status that Twisted is about to answer with, and the length of the body, see
            `answer_to_come`; None where that is not known yet.
    """

    def __init__(self, scope: Traveller) -> None:
        self.channel: Any = getattr(scope.request, "channel", None)
        self.answerer: Answerer | None = None
        self.subscription: Deferred[None] | None = None
        self.to_come: tuple[int, int] | None = None
        self._scope = scope
        self._second_look: IDelayedCall | None = None
        # The requests of this connection that are still cleaned up, if this is one of them.
        self._abandoned: set[object] | None = None

    def call(self) -> Call:
        """The call of the handler, whose work the fast path has watched so far."""
        scope = self._scope
        call = scope.make_call(scope.handler)
        self.answerer = call.answerer
        return call

    def answer_cancel(self, cause: Cause) -> None:
        """See `Answerer`."""
        # There is none yet where the fast path is in the middle of its answer.
        answerer = self.answerer or self.call().answerer
        answerer.answer_cancel(cause)

    def clean_up_before(self, body: bytes) -> bytes | int:
        """Run the hooks, and give back what Twisted writes then; a hook may have answered.

        The handler has returned the body and begun no work.
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
        """Hear of the request's end; at once, if that was before.

        A scope whose hooks still run when a result is handed to Twisted wants to hear of it, too:
        from then on they find the request dead.
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
        """Twisted tells the request's listeners, ours first, that the response is finished."""
        after_others(self._scope.request, self.finished)

    def lost_after_others(self, failure: Failure) -> None:
        """Twisted tells the request's listeners, ours first, that the client has left."""
        request = self._scope.request
        self._look_whether_whole()
        if len(request.notifications) > 1:
            # One that raises keeps Twisted from telling the rest.
            self.see(LOST, is_reported_by_now=False)
        after_others(request, partial(self.lost, failure))

    def finished(self) -> None:
        """The response is finished."""
        request, method = self._scope.request, self._scope.method
        if request is not None:
            guard(request, FINISHED)
            # A handler that goes on writing no body may go on for ever.
            is_bodiless = left_with_whole_response(request) and has_no_body(request)
            self._scope.life.finished(was_faked_head(request, method) or is_bodiless)

    def lost(self, failure: Failure | None) -> None:
        """The client has left."""
        if self._scope.request is None:
            return
        self._look_whether_whole()
        if self._scope.fate is OPEN:
            # Otherwise it was seen before it was reported.
            self._end_with_loss(failure)

    def _look_whether_whole(self) -> None:
        """Guard a request whose client has left, maybe with the whole response."""
        request = self._scope.request
        if fate_of(request) is not FINISHED:
            # Otherwise only the report of that was missing.
            guard(request, LOST)
            # Where it was cancelled or given up, this side has broken it off.
            if self._scope.state is RUNNING and has_whole_response(request, self.channel):
                count_as_finished(request)

    def _end_with_loss(self, failure: Failure | None) -> None:
        scope, request = self._scope, self._scope.request
        producer = release_producer(request, self.channel, scope.context)
        if fate_of(request) is FINISHED:
            self.finished()
        else:
            scope.life.lost(Disconnected(failure))
        if scope.state is not CLOSED:
            self.note_abandoned()
        if isinstance(producer, Stream):
            # If it was not cancelled, it runs to its end, unheard.
            producer.resumeProducing()

    def lost_after_all(self, failure: Failure) -> None:
        """The fast path was about to stop the work, and has done nothing."""
        scope = self._scope
        scope.fate, scope.state, scope.cause, scope.cancelled = OPEN, RUNNING, None, None
        self.lost(failure)

    def note_abandoned(self) -> None:
        """The client has left: count the request for as long as it is cleaned up."""
        self._abandoned = abandoned_beside(self.channel)
        if self._abandoned is not None:
            self._abandoned.add(self._scope)

    def see(self, fate: Fate, is_reported_by_now: bool) -> None:
        """The request was found to be over, and that was not reported.

        The next pipelined request is rendered inside the ``finish`` of this one. If that raises,
        Twisted tells no listener of this request that it is finished.

        Args:
            fate: what has become of it.
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
        """The scope has closed."""
        # These refer to the request, whose list of listeners stays as it is if one of them raises.
        self.answerer = self.channel = None
        if self._second_look is not None and self._second_look.active():
            self._second_look.cancel()
        if self._abandoned is not None:
            self._abandoned.discard(self._scope)

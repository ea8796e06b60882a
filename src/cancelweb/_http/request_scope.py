"""The scope of a request of Twisted Web: it is told of the request's end, and has it answered.

How an answer is written is for `answering`, what a handler returned for `handler_call`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from .._kinds.cancellers import global_reactor
from .._scopes.options import Options
from .._scopes.scope import Scope
from .._scopes.states import Fate, State
from ..causes import Cause, Disconnected
from .answerer import Answerer
from .dead_requests import guard, release_producer
from .faked_head import was_faked_head
from .rapid_resets import abandoned_beside
from .request_facts import fate_of
from .streams import Stream


class RequestScope(Scope):
    """The lifetime of one request of Twisted Web.

    Attributes:
        method: the one that the handler was called for: under a faked HEAD a GET, and not the one
            that the client sent.
        channel: the request's; over HTTP/2, its stream. A lost request has forgotten it.
        answerer: receives what the outermost handler came to; None until its call has returned.
        subscription: our own among those that the request tells of its end.
    """

    def __init__(self, request: Any, options: Options) -> None:
        super().__init__(request, options, clock_of(request, options))
        self.method: bytes = request.method
        self.channel: Any = getattr(request, "channel", None)
        self.answerer: Answerer | None = None
        self.subscription: Deferred[None] | None = None
        self._second_look: IDelayedCall | None = None
        # The requests of this connection that are still cleaned up, if this is one of them.
        self._abandoned: set[Scope] | None = None

    # --- what a scope asks of its request ---

    @property
    def is_in_call(self) -> bool:
        """See `Subject`."""
        return self.answerer is None and self.fate is Fate.OPEN

    @property
    def is_interruptible(self) -> bool:
        """See `Subject`."""
        return self.options.may_cancel(self.method)

    def answer_cancel(self, cause: Cause) -> None:
        """See `Subject`."""
        if self.answerer is not None and self.fate is Fate.OPEN:
            self.answerer.answer_cancel(cause)
            self.catch_up()

    def end(self) -> None:
        """See `Subject`."""
        super().end()
        if self._second_look is not None and self._second_look.active():
            self._second_look.cancel()
        if self._abandoned is not None:
            self._abandoned.discard(self)
        self.answerer = self.channel = self.subscription = None
        self._second_look = self._abandoned = None

    # --- how it hears of the end ---

    def call_returned_to(self, answerer: Answerer) -> None:
        """The outermost handler's call has returned."""
        self.answerer = answerer
        if self.state is State.STOPPING:
            self.life.stopping.ask_in_next_turn()

    def withdraw(self) -> None:
        """Close without hooks and observers: for a faked HEAD the handler is called once more."""
        for monitor in self.options.monitors:
            monitor.scope_withdrawn(self)
        self.life.close()

    def note_failure(self, failure: Failure) -> None:
        """Work has failed, and no answer tells of it."""
        if self.state is not State.CLOSED:
            self.life.record.note(failure)

    def subscribe(self) -> None:
        """Hear of the request's end; at once, if that was before (Twisted ticket 4899).

        A scope whose hooks still run when a result is handed to Twisted wants to hear of it, too:
        from then on they find the request dead.
        """
        if self.state is State.CLOSED:
            return
        fate = fate_of(self.request)
        if fate is Fate.OPEN:
            self.subscription = self.request.notifyFinish()
            self.subscription.addCallbacks(self.callback, self.errback)
        else:
            self._over(fate)

    def callback(self, _: object) -> None:
        """The response is finished."""
        if self.request is not None:
            guard(self.request, Fate.FINISHED)
            self.life.finished(was_faked_head(self.request, self.method))

    def errback(self, failure: Failure | None) -> None:
        """The client has left."""
        request, channel = self.request, self.channel
        if request is None or fate_of(request) is Fate.FINISHED:
            # It had been finished: only the report of that was missing.
            self.callback(None)
            return
        guard(request, Fate.LOST)
        if self.fate is not Fate.OPEN:
            # It was seen before it was reported.
            return
        producer = release_producer(request, channel)
        self.life.lost(Disconnected(failure))
        self.note_abandoned()
        if isinstance(producer, Stream):
            # If it was not cancelled, it runs to its end, unheard.
            producer.resumeProducing()

    def note_abandoned(self) -> None:
        """The client has left: count the request for as long as it is cleaned up."""
        if self.state is not State.CLOSED:
            self._abandoned = abandoned_beside(self.channel)
            if self._abandoned is not None:
                self._abandoned.add(self)

    def catch_up(self, is_reported_by_now: bool = False) -> None:
        """See `Subject`.

        The next pipelined request is rendered inside the ``finish`` of this one. If that raises,
        Twisted tells no listener of this request that it is finished.
        """
        if self.fate is not Fate.OPEN or self.is_in_call or self.request is None:
            return
        fate = fate_of(self.request)
        if fate is Fate.FINISHED or (fate is Fate.LOST and is_reported_by_now):
            self._over(fate)
        elif fate is Fate.LOST and self._second_look is None:
            self._second_look = self.clock.callLater(0, self._look_again)

    def _look_again(self) -> None:
        self._second_look = None
        self.errback(None)

    def _over(self, fate: Fate) -> None:
        if fate is Fate.FINISHED:
            self.callback(None)
        else:
            self.errback(None)


def clock_of(request: Any, options: Options) -> IReactorTime:
    """The clock of the options, or the reactor of the request's Site, or the global one."""
    site = getattr(request, "site", None)
    clock: IReactorTime = options.clock or getattr(site, "reactor", None) or global_reactor()
    return clock

"""What Twisted reports of the end of a request, and what it fails to report.

``notifyFinish`` tells nothing of what was before (Twisted ticket 4899), nor whenever an exception
of other code stands in its way: then the end is seen when something else happens. What comes of it
is for the scope's `life`; how we listen is in `listeners`.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from .._scopes.life import Life
from .._scopes.states import Fate, State
from ..causes import Disconnected
from .dead_requests import guard, release_producer
from .faked_head import was_faked_head
from .listeners import takes_listeners
from .rapid_resets import abandoned_beside
from .request_facts import fate_of
from .streams import Stream


class Reported(Protocol):
    """A scope, as far as it is needed here: a `RequestScope`."""

    request: Any
    channel: Any
    method: bytes
    clock: IReactorTime
    fate: Fate
    state: State

    @property
    def life(self) -> Life:
        """See `Scope`."""


class Reports:
    """How one scope hears of the end of its request.

    Attributes:
        subscription: what the request has handed out, if it keeps its listeners in a way of its
            own.
    """

    def __init__(self, scope: Reported) -> None:
        self.subscription: Deferred[None] | None = None
        self._scope = scope
        self._second_look: IDelayedCall | None = None
        # The requests of this connection that are still cleaned up, if this is one of them.
        self._abandoned: set[object] | None = None

    def subscribe(self) -> None:
        """Hear of the request's end; at once, if that was before.

        A scope whose hooks still run when a result is handed to Twisted wants to hear of it, too:
        from then on they find the request dead.
        """
        request = self._scope.request
        fate = fate_of(request)
        if fate is not Fate.OPEN:
            self._over(fate)
        elif takes_listeners(request):
            request.notifications.insert(0, self._scope)
        else:
            self.subscription = request.notifyFinish()
            self.subscription.addCallbacks(lambda _: self.finished(), self.lost)

    def finished(self) -> None:
        """The response is finished."""
        request, method = self._scope.request, self._scope.method
        if request is not None:
            guard(request, Fate.FINISHED)
            self._scope.life.finished(was_faked_head(request, method))

    def lost(self, failure: Failure | None) -> None:
        """The client has left."""
        scope, request = self._scope, self._scope.request
        if request is None or fate_of(request) is Fate.FINISHED:
            # It had been finished: only the report of that was missing.
            self.finished()
            return
        guard(request, Fate.LOST)
        if scope.fate is not Fate.OPEN:
            # It was seen before it was reported.
            return
        producer = release_producer(request, scope.channel)
        scope.life.lost(Disconnected(failure))
        if scope.state is not State.CLOSED:
            self.note_abandoned()
        if isinstance(producer, Stream):
            # If it was not cancelled, it runs to its end, unheard.
            producer.resumeProducing()

    def note_abandoned(self) -> None:
        """The client has left: count the request for as long as it is cleaned up."""
        self._abandoned = abandoned_beside(self._scope.channel)
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
        if fate is Fate.FINISHED or is_reported_by_now:
            self._over(fate)
        elif self._second_look is None:
            self._second_look = self._scope.clock.callLater(0, self._look_again)

    def _look_again(self) -> None:
        self._second_look = None
        self.lost(None)

    def _over(self, fate: Fate) -> None:
        if fate is Fate.FINISHED:
            self.finished()
        else:
            self.lost(None)

    def close(self) -> None:
        """The scope has closed."""
        if self._second_look is not None and self._second_look.active():
            self._second_look.cancel()
        if self._abandoned is not None:
            self._abandoned.discard(self._scope)

"""The request's side of a response: answering whole, with an error, or not, and hearing of its end.

What is to be answered, and when, is for `_respond`.
"""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure

from .._kinds.deferreds import is_answerers_business, is_cancellation
from .._log import log, name_of
from .._scopes.scope import Scope
from .._scopes.states import CLOSED, FINISHED, LOST, OPEN
from .._scopes.work import Work
from ..causes import Cause, Disconnected, Ended, ScopeCancelled
from .rapid_resets import abandon
from .requests import (
    CLOSED_CHANNEL,
    drop_producer,
    fate_of,
    guard,
    has_begun,
    ignore,
    is_faked_head,
    reset_stream,
    send_error,
    stop_producer,
    tell_listeners,
)
from .streams import Stream

NOTHING = object()
"""Stands for no early result."""


class Answering(Work):
    """The work that a handler returned, as far as its answer goes.

    Attributes:
        request: the request.
        handler: what the errors name.
        method: the one that the handler was called for: under a faked HEAD, which Twisted makes
            with a GET, not the one that the client sent.
        channel: the request's; over HTTP/2, its stream. A lost request has forgotten it.
    """

    is_returned = True

    _early: Any = NOTHING
    """The result, where there is one before the handler's call has returned to Twisted."""
    _rendering: bool = True
    _subscription: Any = None

    def __init__(self, scope: Scope, request: Any, handler: object, channel: Any) -> None:
        self.keeper = scope
        self.request = request
        self.handler = handler
        self.method: bytes = request.method
        self.channel = channel

    def _is_answerable(self, scope: Scope) -> bool:
        if scope.cause is not None or scope.fate is not OPEN:
            return False
        return fate_of(self.request) is OPEN

    def _write_whole(self, body: bytes, scope: Scope) -> None:
        if not self._is_answerable(scope):
            return
        if self._rendering:
            self._early = body
        else:
            self._send(body)

    def _send(self, body: bytes) -> None:
        request = self.request
        try:
            if body or request.method != b"HEAD":
                request.setHeader(b"content-length", b"%d" % len(body))
            request.write(body)
            request.finish()
        except BaseException:
            scope: Any = self.keeper
            self._failed(Failure(), scope)

    def _written(self, scope: Scope) -> None:
        """The handler has written it all, unless it has left the rest to a producer."""
        request = self.request
        if not self._is_answerable(scope) or getattr(request, "producer", None) is not None:
            return
        if self._rendering and is_faked_head(request):
            return
        try:
            request.finish()
        except BaseException:
            self._failed(Failure(), scope)

    def _failed(self, failure: Failure, scope: Scope) -> None:
        if not self._is_answerable(scope):
            self._answer_failure(failure, scope)
        elif self._rendering and not has_begun(self.request):
            self._early = failure
        elif is_answerers_business(failure):
            scope.clock.callLater(0, self._answer_failure, failure, scope)
        else:
            self._answer_failure(failure, scope)

    def _answer_failure(self, failure: Failure, scope: Scope) -> None:
        request = self.request
        if not self._is_answerable(scope):
            if not is_answerers_business(failure):
                scope.record.fail(failure)
                self._log_failure(failure)
            elif is_cancellation(failure):
                # By its owner, for reasons of his own: we have not asked it to.
                scope.record.worsen(Ended.STOPPED)
            return
        scope.record.fail(failure)
        drop_producer(request)
        if has_begun(request):
            self._log_failure(failure)
            self._abort(scope)
            return
        try:
            request.processingFailed(failure)
        except BaseException:
            self._break_off(scope)

    def _break_off(self, scope: Scope) -> None:
        """What a request of the user's own kind has raised stands in the way of an answer."""
        scope.record.fail(Failure())
        log.failure("{handler} cannot be answered for", handler=name_of(self.handler))
        self._abort(scope)

    def _abort(self, scope: Scope) -> None:
        if getattr(self.request, "transport", None) is not None:
            self.request.transport.abortConnection()
        else:
            # A stream that goes while its connection tells its siblings of a loss would break
            # Twisted's loop over them.
            scope.clock.callLater(0, self._abort_stream)

    def _abort_stream(self) -> None:
        if self.channel is not None and fate_of(self.request) is OPEN:
            reset_stream(self.request, self.channel)

    def _log_failure(self, failure: Failure) -> None:
        log.failure("the work of {handler} failed", failure=failure, handler=name_of(self.handler))

    @property
    def is_interruptible(self) -> bool:
        """Whether a disconnect or the deadline may cancel."""
        scope: Any = self.keeper
        may_cancel: bool = scope.options.may_cancel(self.method)
        return may_cancel

    def answer(self, cause: Cause) -> None:
        """Answer a client that still waits, now that its request has been cancelled."""
        scope: Any = self.keeper
        request = self.request
        if scope.fate is not OPEN or fate_of(request) is not OPEN:
            return
        drop_producer(request)
        tell_listeners(request, self._subscription, Failure(ScopeCancelled(cause)))
        if fate_of(request) is not OPEN:
            return
        if has_begun(request):
            self._abort(scope)
            return
        try:
            send_error(request, scope.options.status_of(cause), cause)
        except BaseException:
            self._break_off(scope)

    # --- the end of the request ---

    def _finished(self, _: object) -> None:
        request = self.request
        scope: Any = self.keeper
        request.write, request.channel = ignore, CLOSED_CHANNEL
        if scope.is_bare and scope.fate is OPEN and request.method is self.method:
            # As scope.end(); what may still run will tell when it ends.
            scope.fate = FINISHED
            scope.discard()
        else:
            scope.end(FINISHED, None, request.method == b"HEAD" != self.method)

    def _lost(self, failure: Failure | None) -> None:
        request = self.request
        scope: Any = self.keeper
        guard(request, LOST)
        producer = getattr(request, "producer", None)
        if producer is not None and request.transport is None:
            # Over HTTP/2 nobody else stops it, and a pull producer would be pulled for ever.
            self.channel.unregisterProducer()
            stop_producer(producer)
        if self.is_interruptible:
            scope.end(LOST, Disconnected(failure))
        else:
            scope.record.would_have_cancelled = Disconnected(failure)
            scope.end(LOST)
        if scope.phase is not CLOSED:
            abandon(self.channel, scope)
        if isinstance(producer, Stream):
            # If it was not cancelled, it runs to its end, unheard.
            producer.resumeProducing()

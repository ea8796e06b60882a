"""Turning what a handler returned into a response.

With `_requests` and `_stream`, which it uses, the only code that writes to a request or finishes
it. When work is stopped is not decided here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, NoReturn

from attrs import define
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr
from twisted.web.error import UnsupportedMethod
from twisted.web.iweb import IRenderable
from twisted.web.server import NOT_DONE_YET
from twisted.web.template import Tag, flattenString

from ._cancellers import find_canceller
from ._deferreds import clean, is_answerers_business, is_cancellation
from ._log import log, name_of
from ._requests import (
    drop_producer,
    fate_of,
    guard,
    has_begun,
    is_faked_head,
    is_taken_over,
    reset_stream,
    send_error,
    stop_producer,
    tell_listeners,
)
from ._scope import Scope
from ._states import FINISHED, LIVE, LOST, OPEN, RUNNING, SETTLED
from ._stream import Stream, close_stream
from ._work import Work
from .causes import Cause, Disconnected, Ended, ScopeCancelled

Rendered = bytes | int
"""What Twisted takes from a render method: the body, or ``NOT_DONE_YET``."""

_NOTHING = object()


@define(eq=False, repr=False)
class Response(Work):
    """What one handler returned, and what is made of it.

    The work whose result is the response; in most scopes there is no other.

    Attributes:
        request: the request.
        handler: what the errors name.
        method: the one that the handler was called for: under a faked HEAD, which Twisted makes
            with a GET, not the one that the client sent.
        channel: the request's; over HTTP/2, its stream. A lost request has forgotten it.
    """

    is_returned = True

    request: Any = None
    handler: object = None
    method: bytes = b""
    channel: Any = None
    _early: Any = _NOTHING
    """The result, where there is one before the handler's call has returned to Twisted."""
    _rendering: bool = True
    _subscription: Any = None

    # --- what the handler's call came to ---

    def take(self, result: Any, scope: Scope) -> None:
        """Take what the handler returned, or the failure that it raised; called in its context."""
        scope.suspend()
        kind = type(result)
        if kind is Deferred:
            self._wait_for(result, scope)
        elif kind is bytes or kind is Failure or result is NOT_DONE_YET:
            self._take(result, scope)
        else:
            # None, too: only what was waited for may come to nothing.
            self._follow(result, scope)
        self._rendering = False

    def give_back(self, scope: Scope, is_outermost: bool) -> Rendered:
        """What to return to Twisted, or to the door outside; raises what was raised."""
        fate = fate_of(self.request)
        is_called_late = scope.response is not None
        if is_outermost:
            scope.respond_with(self)
        if self._early is not _NOTHING and fate is OPEN:
            if isinstance(self._early, Failure):
                self._raise(self._early, scope, is_outermost, is_called_late)
            return self._give_early(self._early, scope, is_outermost)
        if is_outermost and scope.fate is OPEN:
            if fate is OPEN:
                self._subscription = self.request.notifyFinish()
                self._subscription.addCallbacks(self._finished, self._lost)
            elif fate is FINISHED:
                self._finished(None)
            else:
                self._lost(None)
        return NOT_DONE_YET

    def _give_early(self, result: Rendered, scope: Scope, is_outermost: bool) -> Rendered:
        if is_outermost:
            scope.end(FINISHED)
        return result

    def _raise(
        self, failure: Failure, scope: Scope, is_outermost: bool, is_called_late: bool
    ) -> NoReturn:
        """Have Twisted answer the failure, or the code that has called this handler."""
        error: Any = failure.value
        frames = failure.getTracebackObject()
        is_unsupported = isinstance(error, UnsupportedMethod)
        if not is_unsupported and (is_outermost or is_called_late):
            scope.record.fail(failure)
        if is_outermost:
            if is_unsupported and self.method == b"HEAD" and b"GET" in error.allowedMethods:
                # Twisted renders again, with a GET.
                scope.abandon()
            else:
                scope.end(FINISHED)
        # Before Twisted 24.10 it may be a fake.
        raise error.with_traceback(frames if isinstance(frames, TracebackType) else None)

    # --- results ---

    def settled(self, result: Any) -> None:
        """See `Work.settled`; takes the result."""
        self.step = SETTLED
        scope: Any = self.keeper
        if scope is None:
            self._settled_late(result)
            return
        scope.drop(self)
        if scope.cause is not None and isinstance(result, Failure) and is_cancellation(result):
            scope.record.worsen(Ended.STOPPED)
            clean(result)
        else:
            self._take(result, scope)
        if scope.phase is LIVE:
            scope.advance()

    def _settled_late(self, result: object) -> None:
        if isinstance(result, Failure) and not is_cancellation(result):
            log.failure("work that outlived its scope failed", failure=result)

    def forget(self) -> None:
        """See `Work.forget`: whoever still holds on to this survivor holds no request."""
        self.keeper = self.request = self.handler = self.channel = None

    def _take(self, result: Any, scope: Scope) -> None:
        if type(result) is bytes:
            self._write_whole(result, scope)
        elif isinstance(result, Failure):
            self._failed(result, scope)
        elif result is not None and result is not NOT_DONE_YET:
            self._follow(result, scope)
        elif scope.fate is OPEN and is_taken_over(self.request, self.channel):
            # What follows is no HTTP.
            self._early = NOT_DONE_YET
            if not self._rendering:
                scope.end(FINISHED)
        elif result is None:
            self._written(scope)

    def _follow(self, work: Any, scope: Scope) -> None:
        """Wait for what the handler returned, or for what that came to."""
        try:
            canceller = scope.in_context(self._canceller, work, scope)
        except Exception:
            self._failed(Failure(), scope)
        else:
            self._wait_for(canceller, scope)

    def _wait_for(self, canceller: Any, scope: Scope) -> None:
        self.canceller, self.step = canceller, RUNNING
        scope.add(self)

    def _canceller(self, work: Any, scope: Scope) -> Any:
        """How to wait for the work and to stop it."""
        canceller = find_canceller(work)
        if canceller is not None:
            return canceller
        if IRenderable.providedBy(work) or isinstance(work, Tag):
            page = flattenString(self.request, work)
            return page.addCallback(b"<!DOCTYPE html>\n".__add__)
        if isinstance(work, Iterator | AsyncIterator):
            return self._stream(work, scope)
        kind = type(work)
        raise TypeError(
            f"{name_of(self.handler)} returned {safe_repr(work)}, a {kind.__module__}."
            f"{kind.__qualname__}, of which cancelweb can make no response: return bytes, "
            "NOT_DONE_YET, or work such as a Deferred, or register a canceller for it"
        )

    def _stream(self, chunks: Any, scope: Scope) -> Deferred[None]:
        if is_faked_head(self.request) or fate_of(self.request) is not OPEN:
            return Deferred.fromCoroutine(close_stream(chunks))
        stream = Stream(self.request, scope.clock, lambda: scope.cause is not None)
        return Deferred.fromCoroutine(stream.run(chunks))

    def _is_answerable(self, scope: Scope) -> bool:
        if scope.cause is not None or scope.fate is not OPEN:
            return False
        # Once we have subscribed the scope is told of the request's fate.
        return not self._rendering or fate_of(self.request) is OPEN

    def _write_whole(self, body: bytes, scope: Scope) -> None:
        if not self._is_answerable(scope):
            return
        if self._rendering:
            self._early = body
            return
        request = self.request
        if body or request.method != b"HEAD":
            request.setHeader(b"content-length", b"%d" % len(body))
        request.write(body)
        request.finish()

    def _written(self, scope: Scope) -> None:
        """The handler has written it all, unless it has left the rest to a producer."""
        request = self.request
        if not self._is_answerable(scope) or getattr(request, "producer", None) is not None:
            return
        if not (self._rendering and is_faked_head(request)):
            request.finish()

    # --- errors ---

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
            return
        scope.record.fail(failure)
        drop_producer(request)
        if has_begun(request):
            self._log_failure(failure)
            self._abort(scope)
        else:
            request.processingFailed(failure)

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
        else:
            send_error(request, scope.options.status_of(cause))

    # --- the end of the request ---

    def _finished(self, _: object) -> None:
        request = self.request
        scope: Any = self.keeper
        guard(request, FINISHED)
        is_faked_head = request.method == b"HEAD" and self.method != b"HEAD"
        scope.end(FINISHED, None, is_faked_head)

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
        if isinstance(producer, Stream):
            # If it was not cancelled, it runs to its end, unheard.
            producer.resumeProducing()

"""Turning what a handler returned into a response; the only code that touches a request.

With `_requests` and `_stream`, which it uses. How work is stopped is not known here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr
from twisted.web.error import UnsupportedMethod
from twisted.web.iweb import IRenderable
from twisted.web.server import NOT_DONE_YET
from twisted.web.template import Tag, flattenString

from ._cancellers import find_canceller
from ._deferreds import is_cancellation
from ._log import log, name_of
from ._requests import (
    abort,
    drop_producer,
    fate_of,
    guard,
    is_faked_head,
    is_upgraded,
    send_error,
    stop_producer,
)
from ._scope import Scope
from ._states import Fate
from ._stream import Stream
from ._twisted_kinds import DeferredCanceller
from ._work import Work
from .causes import Cause, Disconnected

Rendered = bytes | int
"""What Twisted takes from a render method: the body, or ``NOT_DONE_YET``."""

_NOTHING = object()


@define(eq=False, repr=False)
class Response:
    """The response to one request, from the return of its handler on.

    Attributes:
        handler: what the errors name.
        method: the one that the handler was called for: under a faked HEAD, which Twisted makes
            with a GET, not the one that the client sent.
        channel: the request's; over HTTP/2, its stream. A lost request has forgotten it.
    """

    request: Any
    scope: Scope
    handler: object
    method: bytes
    channel: Any
    _early: Any = field(default=_NOTHING, init=False)
    """The result, where there is one before the handler's call has returned to Twisted."""
    _rendering: bool = field(default=True, init=False)
    _is_subscribed: bool = field(default=False, init=False)

    # --- what the handler's call came to ---

    @classmethod
    def of(cls, scope: Scope, request: Any, handler: object) -> Response:
        """The response that the scope has already, or a new one."""
        response: Response | None = scope.response
        if response is None:
            channel = getattr(request, "channel", None)
            response = scope.response = cls(request, scope, handler, request.method, channel)
        return response

    def take(self, result: Any) -> None:
        """Take what the handler returned, or the failure that it raised; called in its context."""
        self._rendering = True
        self.scope.interruptible = self.scope.options.may_cancel(self.method)
        self.scope.suspend()
        if result is None:
            # Only what was waited for may come to nothing.
            self._follow(result)
        else:
            self._take(result)
        self._rendering = False

    def give_back(self, is_outermost: bool) -> Rendered:
        """What to return to Twisted, or to the door outside; raises what was raised."""
        early, self._early = self._early, _NOTHING
        fate = fate_of(self.request)
        if early is not _NOTHING and fate is Fate.OPEN:
            return self._give_early(early, is_outermost)
        if is_outermost:
            self._subscribe(fate)
        return NOT_DONE_YET

    def _give_early(self, result: bytes | Failure, is_outermost: bool) -> Rendered:
        if isinstance(result, Failure):
            error: Any = result.value
            frames = result.getTracebackObject()
            self._close_failed(error, result, is_outermost)
            # The scope cleans what it closes with.
            raise error.with_traceback(frames)
        if is_outermost:
            self.scope.end(Fate.FINISHED)
        return result

    def _close_failed(self, error: Any, failure: Failure, is_outermost: bool) -> None:
        unsupported = isinstance(error, UnsupportedMethod)
        if not unsupported and (is_outermost or self._is_subscribed):
            self.scope.record.fail(failure)
        if is_outermost:
            if unsupported and self.method == b"HEAD" and b"GET" in error.allowedMethods:
                # Twisted renders again, with a GET.
                self.scope.abandon()
            else:
                self.scope.end(Fate.FINISHED)

    def _subscribe(self, fate: Fate) -> None:
        if fate is Fate.FINISHED:
            self._finished(None)
        elif fate is Fate.LOST:
            self._lost(None)
        elif not self.scope.is_working and is_upgraded(self.request, self.channel):
            self.scope.end(Fate.FINISHED)
        else:
            self._is_subscribed = True
            self.request.notifyFinish().addCallbacks(self._finished, self._lost)

    # --- results ---

    def _take(self, result: Any) -> None:
        if isinstance(result, Failure):
            self._failed(result)
        elif result is None:
            self._written()
        elif isinstance(result, bytes):
            self._write_whole(result)
        elif result is not NOT_DONE_YET:
            self._follow(result)

    def _follow(self, work: Any) -> None:
        try:
            canceller = self.scope.in_context(self._canceller, work)
            if canceller is not None:
                self.scope.add(Work(self.scope, canceller, self._take))
        except Exception:
            self._failed(Failure())

    def _canceller(self, work: Any) -> Any:
        """How to wait for the work and to stop it; None where there is nothing to wait for."""
        canceller = find_canceller(work)
        if canceller is not None:
            return canceller
        if IRenderable.providedBy(work) or isinstance(work, Tag):
            page = flattenString(self.request, work)
            return DeferredCanceller(page.addCallback(b"<!DOCTYPE html>\n".__add__))
        if isinstance(work, Iterator | AsyncIterator):
            return self._stream(work)
        kind = type(work)
        raise TypeError(
            f"{name_of(self.handler)} returned {safe_repr(work)}, a {kind.__module__}."
            f"{kind.__qualname__}, of which cancelweb can make no response: return bytes, "
            "NOT_DONE_YET, or work such as a Deferred, or register a canceller for it"
        )

    def _stream(self, chunks: Any) -> DeferredCanceller | None:
        if is_faked_head(self.request):
            return None
        stream = Stream(self.request, self.scope.clock, lambda: self.scope.cause is not None)
        return DeferredCanceller(Deferred.fromCoroutine(stream.run(chunks)))

    def _is_answerable(self) -> bool:
        return self.scope.cause is None and self._is_there()

    def _is_there(self) -> bool:
        return self.scope.fate is Fate.OPEN and fate_of(self.request) is Fate.OPEN

    def _write_whole(self, body: bytes) -> None:
        request = self.request
        if not self._is_answerable():
            return
        if self._rendering:
            self._early = body
            return
        if body or request.method != b"HEAD":
            request.setHeader(b"content-length", b"%d" % len(body))
        request.write(body)
        request.finish()

    def _written(self) -> None:
        """The handler has written it all, unless it has left the rest to a producer."""
        request = self.request
        if not self._is_answerable() or getattr(request, "producer", None) is not None:
            return
        if not (self._rendering and is_faked_head(request)):
            request.finish()

    # --- errors ---

    def _failed(self, failure: Failure) -> None:
        if self._rendering and self._is_answerable():
            self._early = failure
        elif is_cancellation(failure) and self._is_answerable():
            # Whoever cancelled the work may be about to answer himself.
            self.scope.clock.callLater(0, self._answer_failure, failure)
        else:
            self._answer_failure(failure)

    def _answer_failure(self, failure: Failure) -> None:
        request = self.request
        if self._is_answerable():
            self.scope.record.fail(failure)
            if request.startedWriting:
                self._log_failure(failure)
                abort(request, self.channel)
            else:
                request.processingFailed(failure)
        elif not is_cancellation(failure):
            self.scope.record.fail(failure)
            self._log_failure(failure)

    def _log_failure(self, failure: Failure) -> None:
        log.failure("the work of {handler} failed", failure=failure, handler=name_of(self.handler))

    def answer(self, cause: Cause) -> None:
        """Answer a client that still waits, now that its request has been cancelled."""
        request = self.request
        if not self._is_there():
            return
        drop_producer(request)
        if request.startedWriting:
            abort(request, self.channel)
        else:
            send_error(request, self.scope.options.status_of(cause))

    # --- the end of the request ---

    def _finished(self, _: object) -> None:
        request = self.request
        guard(request, Fate.FINISHED)
        faked = request.method == b"HEAD" != self.method
        self.scope.end(Fate.FINISHED, is_faked_head=faked)

    def _lost(self, failure: Failure | None) -> None:
        request = self.request
        guard(request, Fate.LOST)
        producer = getattr(request, "producer", None)
        if producer is not None and request.transport is None:
            # Over HTTP/2 nobody else stops it, and a pull producer would be pulled for ever.
            self.channel.unregisterProducer()
            stop_producer(producer)
        self.scope.end(Fate.LOST, Disconnected(failure) if self.scope.interruptible else None)
        if isinstance(producer, Stream):
            # If it was not cancelled, it runs to its end, unheard.
            producer.resumeProducing()

"""Turning what a handler returned into a response.

With `_answering`, `_requests` and `_stream`, which it uses, the only code that writes to a request
or finishes it. When work is stopped is not decided here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr
from twisted.web.error import UnsupportedMethod
from twisted.web.iweb import IRenderable
from twisted.web.server import NOT_DONE_YET
from twisted.web.template import Tag, flattenString

from .._kinds.deferreds import clean, forgive_flattened, is_cancellation
from .._kinds.registry import COMMON, find_canceller
from .._log import log, name_of
from .._scopes.scope import Scope
from .._scopes.states import FINISHED, LIVE, OPEN, RUNNING, SETTLED
from ..causes import Ended
from .answering import NOTHING, Answering
from .requests import fate_of, is_faked_head, is_taken_over
from .streams import Stream, close_stream

Rendered = bytes | int
"""What Twisted takes from a render method: the body, or ``NOT_DONE_YET``."""


class Response(Answering):
    """What one handler returned, and what is made of it.

    The work whose result is the response; in most scopes there is no other.
    """

    # --- what the handler's call came to ---

    def wait_for(self, work: Any, scope: Scope) -> bool:
        """Wait for the first work of a scope, of one of the commonest kinds.

        For most requests that is the whole story; `take` and `give_back` tell the others.

        Returns:
            Whether nothing else has come of it, so that there is nothing to give back yet.
        """
        request = self.request
        scope.suspend(request)
        kind = type(work)
        settled = self.settled
        if kind is Deferred:
            self.canceller = work
            scope.returned = self
            work.addCallbacks(settled, settled)
        else:
            self.coroutine = work
            canceller = self.canceller = COMMON[kind](work)
            if scope.is_bare or scope.is_fresh:
                scope.returned = self
                if type(canceller) is Deferred:
                    canceller.addCallbacks(settled, settled)
                else:
                    canceller.watch(settled)
            else:
                # A coroutine has tracked something, or cancelled its own scope.
                scope.add(self)
            if request.finished or request.channel is None:
                return False
        self._rendering = False
        if scope.returned is None:
            return False
        scope.response = self
        self._subscription = subscription = request.notifyFinish()
        subscription.addCallbacks(self._finished, self._lost)
        return True

    def take(self, result: Any, scope: Scope) -> None:
        """Take what the handler returned, or the failure that it raised; called in its context."""
        scope.suspend(self.request)
        if isinstance(result, bytes | Failure) or result is NOT_DONE_YET:
            self._take(result, scope)
        else:
            # None, too: only what was waited for may come to nothing.
            self._follow(result, scope)
        self._rendering = False

    def give_back(self, scope: Scope, is_outermost: bool) -> Rendered:
        """What to return to Twisted, or to the door outside; raises what was raised."""
        request = self.request
        is_called_late = scope.response is not None
        if is_outermost:
            scope.respond_with(self)
        fate = fate_of(request)
        if fate is not OPEN:
            if is_outermost and scope.fate is OPEN:
                (self._finished if fate is FINISHED else self._lost)(None)
        elif self._early is not NOTHING:
            if isinstance(self._early, Failure):
                self._raise(self._early, scope, is_outermost, is_called_late)
            return self._give_early(self._early, scope, is_outermost)
        elif is_outermost and scope.fate is OPEN:
            self._subscription = subscription = request.notifyFinish()
            subscription.addCallbacks(self._finished, self._lost)
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
        self._early = NOTHING
        try:
            # Before Twisted 24.10 it may be a fake.
            raise error.with_traceback(frames if isinstance(frames, TracebackType) else None)
        finally:
            # Through its traceback the error refers to this frame.
            del failure, error, frames

    # --- results ---

    def settled(self, result: Any) -> None:
        """See `Work.settled`; takes the result."""
        self.step = SETTLED
        scope: Any = self.keeper
        if scope is None:
            self._settled_late(result)
            return
        if scope.returned is self:
            scope.returned = None
            if scope.is_bare and not self._rendering:
                # What most requests come to.
                if scope.fate is FINISHED:
                    if result is NOT_DONE_YET:
                        scope.discard()
                        return
                elif type(result) is bytes:
                    request = self.request
                    # Whoever listens to notifyFinish before us may have settled it just now.
                    if not request.finished and request.channel is not None:
                        self._send(result)
                        return
        else:
            scope.drop(self)
        self._came_to(result, scope)
        if scope.phase is LIVE:
            scope.advance()

    def _came_to(self, result: Any, scope: Scope) -> None:
        self.end_survival()
        if scope.cause is not None and isinstance(result, Failure) and is_cancellation(result):
            scope.record.worsen(Ended.STOPPED)
            clean(result)
        else:
            self._take(result, scope)

    def _settled_late(self, result: object) -> None:
        self.end_survival()
        if isinstance(result, Failure) and not is_cancellation(result):
            log.failure("work that outlived its scope failed", failure=result)

    def forget(self) -> None:
        """See `Work.forget`: whoever still holds on to this survivor holds no request."""
        self.keeper = self.request = self.handler = self.channel = None

    def _take(self, result: Any, scope: Scope) -> None:
        if isinstance(result, bytes):
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
            self.coroutine = work
            canceller = scope.in_context(self._canceller, work, scope)
        except BaseException:
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
            page = flattenString(self.request, work).addErrback(forgive_flattened)
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

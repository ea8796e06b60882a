"""The smallest possible scope: a comparison that shows what cancelweb's promises cost.

The scope can be found in a context variable and on its request, subscribes once, and cancels. It
knows three kinds of results and keeps no other promise. It is for measuring only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from handlers import BODY, DELAY, CallPage, Page
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.web.server import NOT_DONE_YET, Request

current: ContextVar[Any] = ContextVar("skeleton", default=None)


class Skeleton:
    """What a request has: its work, and what happens at its end."""

    request: Any
    work: Any

    def wait_for(self, work: Any) -> int:
        """Have the work end in a response, and the client's leaving in a cancel."""
        self.work = work
        if type(work) is Deferred:
            work.addCallbacks(self.settled, self.settled)
        self.request.notifyFinish().addCallbacks(self.finished, self.lost)
        return NOT_DONE_YET

    def settled(self, body: Any) -> None:
        """The work has ended."""
        request = self.request
        if type(body) is bytes and request.channel is not None:
            request.setHeader(b"content-length", b"%d" % len(body))
            request.write(body)
            request.finish()

    def finished(self, _: object) -> None:
        """The response has been sent."""
        self.request = self.work = None

    def lost(self, _: object) -> None:
        """The client has left."""
        self.work.cancel()
        self.request = self.work = None


class Guarding(Skeleton):
    """With three promises of cancelweb: a dead request is left alone, a timer that fails or that
    other code cancels is noticed, and it is known when it all began."""

    _func: Callable[..., object]
    _canceller: Callable[..., object]

    def wait_for(self, work: Any) -> int:
        self.opened = self.request.site.reactor.seconds()
        if type(work) is DelayedCall:
            self._func, self._canceller = work.func, work.canceller
            work.func, work.canceller = self._run, self._cancelled
        return super().wait_for(work)

    def _run(self, *args: Any, **kwargs: Any) -> None:
        self._restore()
        try:
            self._func(*args, **kwargs)
        except Exception:
            self.request.transport.abortConnection()

    def _cancelled(self, call: DelayedCall) -> None:
        self._restore()
        call.canceller(call)

    def _restore(self) -> None:
        call, self.work = self.work, None
        call.func, call.canceller = self._func, self._canceller

    def finished(self, _: object) -> None:
        self.request.write = _ignore
        self.request.channel = None
        super().finished(_)

    def lost(self, _: object) -> None:
        self.request.write = _ignore
        super().lost(_)


def _ignore(*args: Any) -> None:
    pass


def decorate(kind: type[Skeleton]) -> Callable[[Callable[[Any, Request], Any]], Any]:
    """A decorator for methods, which gives their requests such a scope."""

    def decorator(handler: Callable[[Any, Request], Any]) -> Any:
        def render(self: Any, request: Any) -> bytes | int:
            scope = kind()
            scope.request = request
            request.skeleton = scope
            token = current.set(scope)
            try:
                result = handler(self, request)
            finally:
                current.reset(token)
            if type(result) is bytes:
                scope.request = None
                return result
            return scope.wait_for(result)

        return render

    return decorator


def pages(kind: type[Skeleton]) -> tuple[type[Page], type[Page], type[Page]]:
    """The pages of bytes, of a Deferred and of a delayed call."""

    class Bytes(Page):
        @decorate(kind)
        def render_GET(self, request: Request) -> bytes:
            return BODY

    class Work(Page):
        @decorate(kind)
        def render_GET(self, request: Request) -> Deferred[bytes]:
            return self.stage.begin()

    class Call(CallPage):
        @decorate(kind)
        def render_GET(self, request: Request) -> Any:
            return self.stage.clock.callLater(DELAY, self._delayedRender, request)

    return Bytes, Work, Call


SkeletonBytes, SkeletonWork, SkeletonCall = pages(Skeleton)
_, GuardingWork, GuardingCall = pages(Guarding)

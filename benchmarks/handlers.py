"""The handlers that are compared: with cancelweb, by hand, and without cancellation.

This module also has their work, and ends it. Other modules measure how long they take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger, globalLogBeginner
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import provider

from cancelweb import Scope, cancel_on_disconnect

BODY = b"<html><body>Sorry to keep you waiting.</body></html>"
DELAY = 5

DEADLINE = 30

log = Logger()


def discard_log() -> None:
    """Give the log an observer that does nothing: without one, it keeps the events."""
    globalLogBeginner.beginLoggingTo([discard], discardBuffer=True, redirectStandardIO=False)


@provider(ILogObserver)
def discard(event: LogEvent) -> None:
    """Do nothing with an event of the log."""


def clean_up(scope: Scope) -> None:
    """A hook."""


@define(eq=False)
class Stage:
    """What the handlers wait for.

    Attributes:
        clock: all sites and timers go by it.
        apart: seconds that it goes on before each piece of work.
    """

    clock: Clock = field(factory=Clock)
    apart: float = 0.0
    _work: Deferred[bytes] | None = field(default=None, init=False)

    def begin(self) -> Deferred[bytes]:
        """Begin some work that can be cancelled."""
        self.clock.rightNow += self.apart
        self._work = Deferred(self._cancelled)
        return self._work

    def end_work(self) -> None:
        """The work comes to its end."""
        work, self._work = self._work, None
        assert work is not None
        work.callback(BODY)

    def end_call(self) -> None:
        """The delay is over."""
        self.clock.advance(DELAY)

    def running(self) -> int:
        """How much is waited for."""
        return len(self.clock.calls) + (self._work is not None)

    def _cancelled(self, _: Deferred[bytes]) -> None:
        self._work = None


class Page(Resource):
    """What the handlers share."""

    isLeaf = True

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage


# --- bytes ---


class PlainBytes(Page):
    """No cancellation, and no need of any."""

    def render_GET(self, request: Request) -> bytes:
        return BODY


class DecoratedBytes(Page):
    """As it is, decorated."""

    @cancel_on_disconnect
    def render_GET(self, request: Request) -> bytes:
        return BODY


# --- a delayed call ---


class CallPage(Page):
    """The example of the tutorial "Interrupted Responses"."""

    def _delayedRender(self, request: Request) -> None:
        request.write(BODY)
        request.finish()


class BareCall(CallPage):
    """The least there can be: a client that leaves is not noticed."""

    def render_GET(self, request: Request) -> int:
        self.stage.clock.callLater(DELAY, self._delayedRender, request)
        return NOT_DONE_YET


class NotifiedCall(CallPage):
    """The floor: a client that leaves is noticed, and nothing is done about it."""

    def render_GET(self, request: Request) -> int:
        request.notifyFinish().addErrback(self._left)
        self.stage.clock.callLater(DELAY, self._delayedRender, request)
        return NOT_DONE_YET

    def _left(self, _: Failure) -> None:
        pass


class CallByHand(CallPage):
    """The tutorial's recipe."""

    def _responseFailed(self, reason: Failure, call: object) -> None:
        call.cancel()  # type: ignore[attr-defined]

    def render_GET(self, request: Request) -> int:
        call = self.stage.clock.callLater(DELAY, self._delayedRender, request)
        request.notifyFinish().addErrback(self._responseFailed, call)
        return NOT_DONE_YET


class DecoratedCall(CallPage):
    """The same with cancelweb."""

    @cancel_on_disconnect
    def render_GET(self, request: Request) -> IDelayedCall:
        return self.stage.clock.callLater(DELAY, self._delayedRender, request)


class UnobservedCall(CallPage):
    """The same, without observers."""

    @cancel_on_disconnect(observers=())
    def render_GET(self, request: Request) -> IDelayedCall:
        return self.stage.clock.callLater(DELAY, self._delayedRender, request)


# --- a Deferred ---


class BareDeferred(Page):
    """The least there can be: a client that leaves is not noticed, and no error is answered."""

    def render_GET(self, request: Request) -> int:
        self.stage.begin().addCallback(self._send, request)
        return NOT_DONE_YET

    def _send(self, body: bytes, request: Request) -> None:
        request.setHeader(b"content-length", b"%d" % len(body))
        request.write(body)
        request.finish()


class NotifiedDeferred(BareDeferred):
    """The floor: a client that leaves is noticed, and nothing is done about it."""

    def render_GET(self, request: Request) -> int:
        request.notifyFinish().addErrback(self._left)
        return super().render_GET(request)

    def _left(self, _: Failure) -> None:
        pass


class DeferredByHand(Page):
    """A careful handler: it cancels the work of a client that has left, touches no dead request,
    answers failures, and leaves no error unconsumed."""

    def render_GET(self, request: Request) -> int:
        work = self.begin()
        request.notifyFinish().addCallbacks(self._finished, self._left, errbackArgs=(work,))
        work.addCallback(self._send, request)
        # Behind the callback, since that may fail, too.
        work.addErrback(self._failed, request)
        return NOT_DONE_YET

    def begin(self) -> Deferred[bytes]:
        return self.stage.begin()

    def _finished(self, _: None) -> None:
        pass

    def _left(self, _: Failure, work: Deferred[None]) -> None:
        work.cancel()

    def _send(self, body: bytes, request: Request) -> None:
        if request.channel is not None:
            request.setHeader(b"content-length", b"%d" % len(body))
            request.write(body)
            request.finish()

    def _failed(self, failure: Failure, request: Request) -> None:
        if request.channel is not None:
            request.processingFailed(failure)
        elif not failure.check(CancelledError):
            log.failure("the work for a client who has left failed", failure=failure)


class DecoratedDeferred(Page):
    """The same with cancelweb."""

    @cancel_on_disconnect
    def render_GET(self, request: Request) -> Deferred[bytes]:
        return self.stage.begin()


class DeferredUntilDeadline(DeferredByHand):
    """The careful handler, of work that may take so long and no longer."""

    def begin(self) -> Deferred[bytes]:
        return self.stage.begin().addTimeout(DEADLINE, self.stage.clock)


class LoggedDeferredByHand(DeferredByHand):
    """The careful handler, which logs each client that left."""

    def render_GET(self, request: Request) -> int:
        work = self.begin()
        request.notifyFinish().addCallbacks(self._finished, self._gone, errbackArgs=(work, request))
        work.addCallback(self._send, request)
        work.addErrback(self._failed, request)
        return NOT_DONE_YET

    def _gone(self, reason: Failure, work: Deferred[None], request: Request) -> None:
        work.cancel()
        log.info("{method} {uri}: left", method=request.method, uri=request.uri, reason=reason)


class DeferredWithHook(Page):
    """With cancelweb, and a hook."""

    @cancel_on_disconnect(on_exit=clean_up)
    def render_GET(self, request: Request) -> Deferred[bytes]:
        return self.stage.begin()


class DeferredWithDeadline(Page):
    """With cancelweb, and a deadline."""

    @cancel_on_disconnect(timeout=DEADLINE)
    def render_GET(self, request: Request) -> Deferred[bytes]:
        return self.stage.begin()


class UndecoratedDeferred(Page):
    """What it returns is for a wrapper to handle."""

    def render_GET(self, request: Request) -> Deferred[bytes]:
        return self.stage.begin()


class UnobservedDeferred(Page):
    """The same, without observers."""

    @cancel_on_disconnect(observers=())
    def render_GET(self, request: Request) -> Deferred[bytes]:
        return self.stage.begin()


# --- a coroutine ---


class CoroutineByHand(DeferredByHand):
    """The careful handler, of a coroutine."""

    def begin(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._page())

    async def _page(self) -> bytes:
        return await self.stage.begin()


class DecoratedCoroutine(Page):
    """The same with cancelweb."""

    @cancel_on_disconnect
    async def render_GET(self, request: Request) -> bytes:
        return await self.stage.begin()


class UnobservedCoroutine(Page):
    """The same, without observers."""

    @cancel_on_disconnect(observers=())
    async def render_GET(self, request: Request) -> bytes:
        return await self.stage.begin()


# --- Klein ---


def klein_deferred(stage: Stage) -> Any:
    """Klein, whose view returns a Deferred."""

    def view(request: Request) -> Deferred[bytes]:
        return stage.begin()

    return klein_root(view)


def klein_coroutine(stage: Stage) -> Any:
    """Klein, whose view is a coroutine."""

    async def view(request: Request) -> bytes:
        return await stage.begin()

    return klein_root(view)


def klein_root(view: Callable[[Request], object]) -> Any:
    """The resource at the root of a site with this view."""
    app: Any = Klein()
    app.route("/page")(view)
    return app.resource()

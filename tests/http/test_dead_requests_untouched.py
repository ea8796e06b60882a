"""Listeners that touch a dead request: nothing that they do to it raises or is logged.

What belongs here: callbacks of `notifyFinish`, and what they set off, over HTTP/1 and HTTP/2. What
other code can do to a dead request is for `test_dead_requests_guarded`.
"""

import gc
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.util import DeferredResource
from zope.interface import implementer

from cancelweb import CancellingResource, cancel_on_disconnect
from cancelweb.testing import Client

from .._pages import Handler, Page

Touch = Callable[[Any], object]


@implementer(IPushProducer)
class Producer:
    """A producer that does nothing."""

    def stopProducing(self) -> None:
        """Nothing to stop."""

    pauseProducing = resumeProducing = stopProducing


def answer(request: Any) -> None:
    """Send an error page."""
    request.setResponseCode(500)
    request.setHeader(b"content-type", b"text/plain")
    request.write(b"failed")
    request.finish()


TOUCHES: dict[str, Touch] = {
    "answer": answer,
    "finish": lambda request: request.finish(),
    "write": lambda request: request.write(b"late"),
    "registerProducer": lambda request: request.registerProducer(Producer(), True),
    "register a pull producer": lambda request: request.registerProducer(Producer(), False),
    "unregisterProducer": lambda request: request.unregisterProducer(),
    "loseConnection": lambda request: request.loseConnection(),
    "processingFailed": lambda request: request.render(Page(lambda _: b"a page")),
    "close its content": lambda request: request.content.close(),
}
"""What listeners do to a request that is over."""


def recipe(touch: Touch, request: Any) -> int:
    """A handler by the tutorial's recipe: it cancels the work, whose errback answers."""
    work: Deferred[None] = Deferred(lambda _: None)
    work.addBoth(lambda _: touch(request))
    request.notifyFinish().addErrback(lambda _: work.cancel())
    return NOT_DONE_YET


def directly(touch: Touch, request: Any) -> int:
    """A handler whose listener touches the request itself."""
    request.notifyFinish().addBoth(lambda _: touch(request))
    return NOT_DONE_YET


def several(touch: Touch, request: Any) -> int:
    """A handler that adds three listeners."""
    for _ in range(2):
        directly(touch, request)
    return recipe(touch, request)


def returned(touch: Touch, request: Any) -> Deferred[bytes]:
    """A handler that also returns the work which its listener cancels."""
    work: Deferred[bytes] = Deferred(lambda _: None)

    def failed(failure: Failure) -> bytes:
        touch(request)
        return b"late"

    work.addErrback(failed)
    request.notifyFinish().addErrback(lambda _: work.cancel())
    return work


async def coroutine(touch: Touch, request: Any) -> None:
    """A coroutine that touches the request in the end, and whose listener fires what it awaits."""
    work: Deferred[None] = Deferred(lambda _: None)
    request.notifyFinish().addBoth(lambda _: work.callback(None))
    try:
        await work
    finally:
        touch(request)


@inlineCallbacks
def generator(touch: Touch, request: Any) -> Generator[Any, Any, None]:
    """A generator that waits for the end of the request itself."""
    try:
        yield request.notifyFinish()
    except (ConnectionDone, ConnectionLost):
        touch(request)


HANDLERS: list[Callable[[Touch, Any], object]] = [
    recipe,
    directly,
    several,
    returned,
    coroutine,
    generator,
]


class Asking(Request):
    """A request whose class overrides `notifyFinish`."""

    def notifyFinish(self) -> Any:
        """Do as Twisted does."""
        return super().notifyFinish()


class Outer(Resource):
    """An outer resource, which listens before any entry point meets the request."""

    def __init__(self, touch: Touch, inner: IResource) -> None:
        super().__init__()
        self._touch, self._inner = touch, inner

    def getChild(self, path: bytes, request: Request) -> Any:
        """Listen, and return the inner resource."""
        directly(self._touch, request)
        return self._inner


@define(eq=False)
class Touched:
    """A function that touches a request, and notes whether that raised."""

    touch: Touch
    done: list[Any] = field(factory=list)

    def __call__(self, request: Any) -> None:
        """Touch the request."""
        self.done.append("began")
        self.touch(request)
        self.done[-1] = "done"


class DeadRequestIsNeverTouchedTests(SynchronousTestCase):
    """Promise 2: a dead request is never touched, not even by callbacks of `notifyFinish`."""

    def entry_points(self, handler: Handler, **options: Any) -> Iterator[Any]:
        """The handler behind each entry point, and behind both."""
        yield Page(cancel_on_disconnect(**options)(handler))
        yield CancellingResource(Page(handler), **options)
        yield CancellingResource(Page(cancel_on_disconnect(handler)), **options)

    def leave(
        self,
        page: Any,
        touched: Touched,
        *,
        version: int,
        method: bytes = b"GET",
        factory: type[Request] = Request,
    ) -> None:
        """Ask, leave, and see that the request was touched without an error."""
        clock = Clock()
        site = Site(page, reactor=cast(Any, clock))
        site.requestFactory = factory
        client = Client(site, clock)
        connection = client.connect() if version == 1 else client.connect_http2()
        exchange = connection.request(method, b"/", {}, b"body" if method == b"POST" else b"")
        exchange.advance(1)
        exchange.disconnect()
        exchange.advance(10)
        self.assertEqual(set(touched.done), {"done"})
        self.assert_quiet()

    def tearDown(self) -> None:
        """Assert that garbage of the test has no unhandled error."""
        gc.collect()
        self.assert_quiet()

    def assert_quiet(self) -> None:
        """No error has been logged, and no warning given."""
        errors = [each.getErrorMessage() for each in self.flushLoggedErrors()]
        self.assertEqual((errors, self.flushWarnings()), ([], []))

    def check_each(
        self, handlers: list[Callable[[Touch, Any], object]], touches: dict[str, Touch], **how: Any
    ) -> None:
        """Check each touch in each handler behind each entry point, over HTTP/1 and HTTP/2."""
        for handler in handlers:
            for touch in touches.values():
                touched = Touched(touch)
                for page in self.entry_points(partial(handler, touched)):
                    for version in (1, 2):
                        self.leave(page, touched, version=version, **how)

    def test_whatever_is_done(self) -> None:
        """Nothing that a listener or an errback of cancelled work does to a lost request raises."""
        self.check_each([recipe, directly], TOUCHES)

    def test_in_whatever_handler(self) -> None:
        """Each kind of handler may answer a lost request without an error."""
        self.check_each(HANDLERS, {"answer": answer})

    def test_in_a_request_that_is_spared(self) -> None:
        """A listener may answer a request that is lost and spared, or in a dry run."""
        for handler in (recipe, directly, several):
            touched = Touched(answer)
            for version in (1, 2):
                page = CancellingResource(Page(partial(handler, touched)))
                self.leave(page, touched, version=version, method=b"POST")
                page = CancellingResource(Page(partial(handler, touched)), dry_run=True)
                self.leave(page, touched, version=version)

    def test_with_hooks_observers_and_a_deadline(self) -> None:
        """A listener may answer a lost request that has hooks and limits, without an error."""
        options: dict[str, Any] = {"on_exit": repr, "observers": repr, "timeout": 100}
        for handler in HANDLERS:
            touched = Touched(answer)
            for page in self.entry_points(partial(handler, touched), **options):
                for version in (1, 2):
                    self.leave(page, touched, version=version)

    def test_listeners_from_before_the_entry_point(self) -> None:
        """A listener from before the entry point may touch a lost request without an error."""
        for touch in TOUCHES.values():
            touched = Touched(touch)
            waits: Handler = lambda _: Deferred(lambda _: None)  # noqa: E731
            for page in self.entry_points(waits):
                for version in (1, 2):
                    self.leave(Outer(touched, page), touched, version=version)

    def test_late_children(self) -> None:
        """A listener of a late child may answer a lost request without an error."""
        for handler in (recipe, directly):
            touched = Touched(answer)
            child = Page(partial(handler, touched))
            for version in (1, 2):
                page = CancellingResource(DeferredResource(succeed(child)))
                self.leave(page, touched, version=version)

    def test_requests_with_a_notify_finish_of_their_own(self) -> None:
        """A listener may touch a lost request whose class overrides `notifyFinish`."""
        self.check_each([recipe, directly, several], TOUCHES, factory=Asking)

    def test_such_a_request_that_is_cancelled(self) -> None:
        """A request whose class overrides `notifyFinish` is answered with a 503 at its deadline."""
        for page in self.entry_points(partial(recipe, lambda request: None), timeout=1):
            site = Site(page, reactor=cast(Any, Clock()))
            site.requestFactory = Asking
            exchange = Client(site).get()
            exchange.advance(1)
            self.assertEqual(exchange.response.code, 503)  # type: ignore[union-attr]

    def test_after_a_finish_it_is_as_in_twisted(self) -> None:
        """A listener of a finished response finds a request without a channel, as in Twisted."""
        seen: list[object] = []

        def handler(request: Any) -> int:
            request.notifyFinish().addCallback(lambda _: seen.append(hasattr(request, "channel")))
            request.write(b"page")
            request.finish()
            return NOT_DONE_YET

        for page in self.entry_points(handler):
            self.assertEqual(Client(page).get().response.body, b"page")  # type: ignore[union-attr]
        self.assertEqual(seen, [False] * 3)

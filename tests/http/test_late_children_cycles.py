"""Late children leave nothing behind, not even for the cycle collector.

A late child is delivered by a `DeferredResource` and rendered in the scope that was opened for its
parent. What belongs here: what is alive after one exchange. What does not: how late children are
served (`test_late_children`).
"""

import gc
from collections.abc import Callable
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.util import DeferredResource

from cancelweb import CancellingResource, cancel_on_disconnect, scope_of

from .._pages import PAGE, GetPage, Handler, NoHead, returning
from .._visits import connect
from ..scopes._tracking import finish


class HandlerError(Exception):
    """What a handler fails with."""


class Local:
    """What a handler has in a local variable."""


Child = Callable[[type[GetPage], Handler], Any]
"""Makes a late child of its class and its handler."""


def plain(page: type[GetPage], handler: Handler) -> Resource:
    """A late child without an entry point of its own."""
    return page(handler)


def decorated(page: type[GetPage], handler: Handler) -> Resource:
    """A late child whose handler is decorated."""
    return page(cancel_on_disconnect(observers=())(handler))


def wrapped(page: type[GetPage], handler: Handler) -> Any:
    """A late child with a wrapper of its own."""
    return CancellingResource(page(handler), observers=())


def both(page: type[GetPage], handler: Handler) -> Any:
    """A late child with a decorated handler and a wrapper of its own."""
    return CancellingResource(decorated(page, handler), observers=())


CHILDREN: list[Child] = [plain, decorated, wrapped, both]


class CycleTestCase(SynchronousTestCase):
    """Exchanges with a late child, without the cycle collector."""

    def setUp(self) -> None:
        """Turn the collector off."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def exchange(
        self,
        handler: Handler,
        make: Child,
        method: bytes = b"GET",
        page: type[GetPage] = GetPage,
        go_on: Callable[[Any], object] = id,
        **options: Any,
    ) -> Any:
        """Ask for a late child, have it delivered, and go on with its request, as long as it lives.

        Returns:
            Weak references to all that must not be left.
        """
        left: list[Any] = []

        def noting(request: Request) -> object:
            local = Local()
            left.extend((ref(request), ref(scope_of(request)), ref(local)))
            return handler(request)

        late: Deferred[Any] = Deferred()
        options.setdefault("observers", ())
        connection = connect(CancellingResource(DeferredResource(late), **options))
        connection.request(method)
        late.callback(make(page, noting))
        request = left[0]()
        if request is not None:
            go_on(request)
        connection.disconnect()
        return left

    def assert_nothing_left(self, *args: Any, **kwargs: Any) -> None:
        """An exchange leaves nothing, whatever kind of late child it is."""
        for make in CHILDREN:
            left = self.exchange(args[0], make, *args[1:], **kwargs)
            self.flushLoggedErrors(HandlerError, TypeError)
            alive = [each() for each in left if each() is not None]
            self.assertEqual((bool(left), alive), (True, []), make.__name__)


class WithinRenderTests(CycleTestCase):
    """A late child that is done when its `render` returns."""

    def finishing(self, result: object) -> Handler:
        """A handler that finishes its request, and returns this."""

        def handler(request: Any) -> object:
            finish(request)
            return result

        return handler

    def test_finishes(self) -> None:
        """A late child that finishes its request leaves nothing behind."""
        self.assert_nothing_left(self.finishing(NOT_DONE_YET))

    def test_finishes_and_returns_more(self) -> None:
        """A late child that finishes, and then returns more, leaves nothing behind."""
        self.assert_nothing_left(self.finishing(PAGE))
        for result in (None, PAGE):
            self.assert_nothing_left(lambda request, result=result: self.fired(request, result))

    def fired(self, request: Any, result: object) -> Deferred[Any]:
        """Finish, and return a Deferred that has fired."""
        finish(request)
        return succeed(result)

    def test_finishes_and_returns_a_coroutine(self) -> None:
        """A late child whose coroutine finishes its request leaves nothing behind."""

        async def handler(request: Any) -> None:
            finish(request)

        self.assert_nothing_left(handler)

    def test_finishes_and_fails(self) -> None:
        """A late child that finishes its request, and then raises, leaves nothing behind."""

        def handler(request: Any) -> object:
            finish(request)
            raise HandlerError

        self.assert_nothing_left(handler)

    def test_returns_bytes(self) -> None:
        """A late child that returns bytes leaves nothing behind."""
        self.assert_nothing_left(returning(PAGE))

    def test_returns_a_deferred_that_has_fired(self) -> None:
        """A late child that returns a Deferred that has fired leaves nothing behind."""
        self.assert_nothing_left(lambda _: succeed(PAGE))

        def handler(request: Any) -> object:
            request.write(PAGE)
            return succeed(None)

        self.assert_nothing_left(handler)

    def test_returns_none(self) -> None:
        """A late child that returns None, which is an error, leaves nothing behind."""
        self.assert_nothing_left(returning(None))

    def test_raises(self) -> None:
        """A late child that raises leaves nothing behind."""

        def handler(_: Request) -> bytes:
            raise HandlerError

        self.assert_nothing_left(handler)

    def test_has_no_such_method(self) -> None:
        """A late child that lacks the method leaves nothing behind."""

        def handler(_: Request) -> bytes:
            raise UnsupportedMethod((b"POST",))

        self.assert_nothing_left(handler)

    def test_is_asked_for_the_head(self) -> None:
        """A late child whose HEAD Twisted fakes leaves nothing behind."""

        async def a_coroutine(_: Request) -> bytes:
            return PAGE

        for handler in (returning(PAGE), lambda _: succeed(PAGE), a_coroutine):
            self.assert_nothing_left(handler, b"HEAD", NoHead)

    def test_with_a_hook_and_an_observer(self) -> None:
        """A late child with a hook, an observer and a deadline leaves nothing behind."""
        hooks: Any = {"on_exit": lambda _: None, "observers": lambda _: None, "timeout": 5}
        for handler in (self.finishing(NOT_DONE_YET), returning(PAGE)):
            self.assert_nothing_left(handler, **hooks)


class LaterTests(CycleTestCase):
    """A late child that is done after its `render` has returned."""

    def test_in_a_callback(self) -> None:
        """A late child that finishes its request in a callback leaves nothing behind."""
        self.assert_nothing_left(returning(NOT_DONE_YET), go_on=finish)

    def test_with_a_deferred(self) -> None:
        """A late child whose Deferred or coroutine comes to a page leaves nothing behind."""
        gates: list[Deferred[bytes]] = []

        def handler(_: Request) -> Deferred[bytes]:
            gates.append(Deferred())
            return gates[-1]

        async def a_coroutine(request: Request) -> bytes:
            return await handler(request)

        def go_on(_: Request) -> None:
            gates.pop().callback(PAGE)

        self.assert_nothing_left(handler, go_on=go_on)
        self.assert_nothing_left(a_coroutine, go_on=go_on)

    def test_that_finishes_before_its_work_ends(self) -> None:
        """A late child that finishes before its Deferred fires leaves nothing behind."""
        gates: list[Deferred[None]] = []

        def handler(_: Request) -> Deferred[None]:
            gates.append(Deferred())
            return gates[-1]

        def go_on(request: Any) -> None:
            finish(request)
            gates.pop().callback(None)

        self.assert_nothing_left(handler, go_on=go_on)

    def test_whose_client_leaves(self) -> None:
        """A late child whose client disconnects leaves nothing behind."""
        self.assert_nothing_left(lambda _: Deferred())

"""Whatever a handler sets in its context is seen where its request is cleaned up, and nowhere else.

What belongs here: the values of context variables. What does not: which scope is the current one
(`test_context`).
"""

from collections.abc import AsyncIterator, Callable, Generator
from contextvars import Context, ContextVar
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks, succeed
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.template import Tag, tags
from zope.interface import implementer

from cancelweb import (
    CancellingResource,
    Scope,
    cancel_on_disconnect,
    current_scope,
    log_outcome,
    scope_of,
)
from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from .._pages import Page
from .._visits import Visit, connect, kept_request
from .._work import Errand

user: ContextVar[str] = ContextVar("user", default="anonymous")
step: ContextVar[str] = ContextVar("step", default="none")


def seen() -> tuple[str, str]:
    """What the code that calls this sees."""
    return user.get(), step.get()


BOTH = ("ann", "second")


class KindTestCase(SynchronousTestCase):
    """A handler of each kind, which sets one variable at once and another after it has waited."""

    def setUp(self) -> None:
        self.go: Deferred[None] = Deferred()
        self.seen: list[tuple[str, str]] = []

    def see(self, *_: object) -> None:
        """Note what is seen here."""
        self.seen.append(seen())

    def see_and_answer(self, _: Request) -> bytes:
        """A handler that notes what it sees, and answers."""
        self.see()
        return b"page"

    def plain(self, _: Request) -> Deferred[None]:
        """A function that sets both variables in its call."""
        user.set("ann")
        step.set("second")
        return self.go.addCallback(lambda _: Deferred(lambda _: None))

    async def coroutine(self, _: Request) -> None:
        """A coroutine function."""
        user.set("ann")
        await self.go
        step.set("second")
        await Deferred(lambda _: None)

    @inlineCallbacks
    def generator(self, _: Request) -> Generator[Any, Any, None]:
        """A generator of Twisted's."""
        user.set("ann")
        yield self.go
        step.set("second")
        yield Deferred(lambda _: None)

    def started(self, request: Request) -> Deferred[None]:
        """A function that has started a coroutine itself."""
        return Deferred.fromCoroutine(self.coroutine(request))

    async def stream(self, _: Request) -> AsyncIterator[bytes]:
        """A stream."""
        user.set("ann")
        yield b"first"
        await self.go
        step.set("second")
        yield b"second"
        await Deferred(lambda _: None)

    def page(self, _: Request) -> Tag:
        """A template, one of whose parts is a coroutine's."""

        async def part() -> str:
            user.set("ann")
            await self.go
            step.set("second")
            await Deferred(lambda _: None)
            return "part"

        user.set("ann")
        step.set("second")
        return tags.p(Deferred.fromCoroutine(part()))

    def kinds(self) -> list[Callable[[Request], object]]:
        """Handlers of all kinds."""
        return [
            self.plain,
            self.coroutine,
            self.generator,
            self.started,
            self.stream,
            self.page,
        ]

    def each(self, try_out: Callable[[Any], object]) -> None:
        """Try out each kind of handler."""
        for kind in self.kinds():
            self.setUp()
            try_out(kind)
            self.assertEqual(self.seen, [BOTH], kind)

    def watch_log(self) -> None:
        """Note what is seen where cancelweb's lines are logged."""

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if "outcome" in event:
                self.see()

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def resume(self, visit: Connection) -> None:
        """Let the handler go on after its first wait."""
        visit.client.clock.advance(0)
        self.go.callback(None)
        visit.client.clock.advance(0)


class TheHandlersValuesTests(KindTestCase):
    """Promise 12: hooks, cancellers, observers and log lines see what the handler has set."""

    def test_hooks_of_the_entry_point(self) -> None:
        """A hook that was given to the entry point sees what the handler has set."""

        def try_out(kind: Any) -> None:
            visit = Visit(kind, on_cancel=self.see)
            self.resume(visit)
            visit.disconnect()

        self.each(try_out)

    def test_hooks_that_are_added_late(self) -> None:
        """A hook that code without a context adds late sees what the handler has set."""

        def try_out(kind: Any) -> None:
            visit = Visit(kind, observers=())
            visit.scope.on_exit(self.see)
            self.resume(visit)
            visit.disconnect()

        self.each(try_out)

    def test_cancellers(self) -> None:
        """The canceller of tracked work sees what the handler has set."""

        class Work(Errand):
            def cancel(work) -> None:  # noqa: N805
                self.see()
                super().cancel()

        def try_out(kind: Any) -> None:
            visit = Visit(kind, observers=())
            self.resume(visit)
            visit.scope.track(Work())
            visit.disconnect()

        self.each(try_out)

    def test_observers(self) -> None:
        """An observer sees what the handler has set."""

        def try_out(kind: Any) -> None:
            visit = Visit(kind, observers=self.see)
            self.resume(visit)
            visit.disconnect()

        self.each(try_out)

    def test_observers_of_monitors(self) -> None:
        """An observer of a monitor sees what the handler has set."""

        def try_out(kind: Any) -> None:
            monitor = Monitor()
            monitor.add_observer(self.see)
            connection = connect(CancellingResource(Page(kind), monitor=monitor, observers=()))
            connection.get()
            self.resume(connection)
            connection.disconnect()

        self.each(try_out)

    def test_log_lines(self) -> None:
        """The default log's line sees what the handler has set, behind each entry point."""
        self.watch_log()

        def decorated(kind: Any) -> None:
            connection = connect(Page(cancel_on_disconnect(kind)))
            connection.get()
            self.resume(connection)
            connection.disconnect()

        def wrapped(kind: Any) -> None:
            connection = connect(CancellingResource(Page(kind)))
            connection.get()
            self.resume(connection)
            connection.disconnect()

        def both(kind: Any) -> None:
            connection = connect(CancellingResource(Page(cancel_on_disconnect(kind))))
            connection.get()
            self.resume(connection)
            connection.disconnect()

        self.each(decorated)
        self.each(wrapped)
        self.each(both)

    def test_log_outcome_given(self) -> None:
        """The line of `log_outcome` sees what the handler has set where it is given by name."""
        self.watch_log()

        def try_out(kind: Any) -> None:
            visit = Visit(kind, observers=log_outcome)
            self.resume(visit)
            visit.disconnect()

        self.each(try_out)

    def test_at_the_end(self) -> None:
        """A hook of an answered request sees what the handler has set last."""

        async def coroutine(_: Request) -> bytes:
            await self.go
            user.set("ann")
            step.set("second")
            return b"page"

        @inlineCallbacks
        def generator(_: Request) -> Generator[Any, Any, bytes]:
            yield self.go
            user.set("ann")
            step.set("second")
            return b"page"

        for handler in (coroutine, generator):
            self.setUp()
            visit = Visit(handler, on_exit=self.see)
            self.resume(visit)
            self.assertEqual((visit.response.body, self.seen), (b"page", [BOTH]))

    def test_in_the_call(self) -> None:
        """A hook of a handler that ends in its call sees what the handler has set."""

        def plain(_: Request) -> bytes:
            current_scope().on_exit(self.see)
            user.set("ann")
            step.set("second")
            return b"page"

        async def coroutine(request: Request) -> bytes:
            return plain(request)

        @inlineCallbacks
        def generator(request: Request) -> Generator[Any, Any, bytes]:
            page = plain(request)
            yield succeed(None)
            return page

        for handler in (plain, coroutine, generator):
            self.setUp()
            self.assertEqual(Visit(handler).response.body, b"page")
            self.assertEqual(self.seen, [BOTH], handler)

    def test_added_in_the_call(self) -> None:
        """A hook added in a generator's call, in whatever context, sees what the generator sets."""

        async def beside(request: Request) -> None:
            scope_of(request).on_exit(self.see)

        @inlineCallbacks
        def itself(_: Request) -> Generator[Any, Any, bytes]:
            current_scope().on_exit(self.see)
            user.set("ann")
            step.set("second")
            yield succeed(None)
            return b"page"

        @inlineCallbacks
        def by_another(request: Request) -> Generator[Any, Any, bytes]:
            Context().run(Deferred.fromCoroutine, beside(request))
            user.set("ann")
            step.set("second")
            yield succeed(None)
            return b"page"

        for handler in (itself, by_another):
            self.setUp()
            Visit(handler)
            self.assertEqual(self.seen, [BOTH], handler)

    def test_added_by_the_handler_that_runs(self) -> None:
        """A hook that a generator adds while it runs sees what is set afterwards."""

        @inlineCallbacks
        def generator(_: Request) -> Generator[Any, Any, bytes]:
            yield self.go
            user.set("ann")
            current_scope().on_exit(self.see)
            step.set("second")
            return b"page"

        visit = Visit(generator, observers=())
        self.resume(visit)
        self.assertEqual(self.seen, [BOTH])

    def test_of_another_coroutine(self) -> None:
        """A hook sees the handler's values, even if a coroutine with other values adds it."""

        async def beside() -> None:
            current_scope().on_exit(self.see)
            user.set("bob")

        def plain(_: Request) -> bytes:
            user.set("ann")
            step.set("second")
            Deferred.fromCoroutine(beside())
            return b"page"

        @inlineCallbacks
        def generator(_: Request) -> Generator[Any, Any, bytes]:
            user.set("ann")
            yield Deferred.fromCoroutine(beside())
            step.set("second")
            return b"page"

        for handler in (plain, generator):
            self.setUp()
            Visit(handler)
            self.assertEqual(self.seen, [BOTH], handler)

    def test_begun_for_no_request(self) -> None:
        """A hook does not see what returned work has set that was begun for no request."""

        async def before() -> bytes:
            user.set("bob")
            await self.go
            return b"page"

        running = Deferred.fromCoroutine(before())

        def handler(_: Request) -> Deferred[bytes]:
            user.set("ann")
            step.set("second")
            return running

        visit = Visit(handler, on_exit=self.see)
        self.resume(visit)
        self.assertEqual(self.seen, [BOTH])

    def test_inner_entry_point(self) -> None:
        """A hook of the outer entry point sees what the inner handler has set."""

        class Page(Resource):
            isLeaf = True

            @cancel_on_disconnect
            async def render_GET(resource, request: Request) -> None:  # noqa: N805
                await self.coroutine(request)

        connection = connect(CancellingResource(Page(), on_cancel=self.see))
        connection.get()
        self.resume(connection)
        connection.disconnect()
        self.assertEqual(self.seen, [BOTH])

    def test_an_inner_plain_function(self) -> None:
        """An outer handler sees what an inner plain function has set."""

        def outer(request: Request) -> Any:
            try:
                return cancel_on_disconnect(self.plain)(request)
            finally:
                self.see()

        Visit(outer)
        self.assertEqual(self.seen, [BOTH])

    def test_late_child(self) -> None:
        """A hook sees what the first handler, and one that was rendered late, have set."""

        def late(request: Request) -> int:
            step.set("second")
            return NOT_DONE_YET

        def handler(request: Request) -> int:
            user.set("ann")
            self.go.addCallback(lambda _: request.render(Page(late)))
            return NOT_DONE_YET

        connection = connect(CancellingResource(Page(handler), on_cancel=self.see))
        connection.get()
        self.resume(connection)
        connection.disconnect()
        self.assertEqual(self.seen, [BOTH])

    def test_what_is_set_there(self) -> None:
        """What a hook sets is not seen by the next hook."""

        def hook(_: Scope) -> None:
            self.see()
            user.set("bob")

        visit = Visit(self.coroutine, on_cancel=[hook, hook])
        self.resume(visit)
        visit.disconnect()
        self.assertEqual(self.seen, [BOTH, BOTH])


class NoLeakTests(KindTestCase):
    """Promise 12: what a handler sets never leaks into another request."""

    def test_next_request(self) -> None:
        """The next request sees nothing of what a handler of any kind has set."""
        for kind in (*self.kinds(), lambda request: (self.plain(request), b"")[1]):
            self.setUp()
            Visit(kind)
            Visit(self.see_and_answer)
            self.assertEqual((seen(), self.seen), (("anonymous", "none"), [("anonymous", "none")]))

    def pipelined(self, first: Any, second: Any, **options: Any) -> Connection:
        """Two requests on one connection; the second is rendered in the ``finish`` of the first."""
        handlers = {b"/1": first, b"/2": second}

        def handler(request: Request) -> Any:
            return handlers[request.uri](request)

        connection = connect(CancellingResource(Page(handler), **options))
        connection.send(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection

    def finishing(self, request: Request) -> int:
        """A handler that finishes its request itself, in its own context."""
        user.set("bob")
        request.finish()
        return NOT_DONE_YET

    async def finishing_later(self, request: Request) -> int:
        """A coroutine that waits, and then finishes its request in its own context."""
        await self.go
        return self.finishing(request)

    def test_pipelined_request(self) -> None:
        """A handler's values are not seen in a request rendered in its ``finish``, or its hooks."""

        async def waiting(_: Request) -> None:
            self.see()
            await Deferred(lambda _: None)

        for first in (self.finishing, self.finishing_later):
            self.setUp()
            hooked: list[tuple[str, str]] = []

            def hook(_: Scope, hooked: Any = hooked) -> None:
                hooked.append(seen())

            connection = self.pipelined(first, waiting, on_cancel=hook)
            self.go.callback(None)
            connection.disconnect()
            nothing = [("anonymous", "none")]
            self.assertEqual((self.seen, hooked), (nothing, nothing))

    def test_request_that_is_refused_inside(self) -> None:
        """A handler's values are not seen in the hooks of a request that is refused inside it."""
        hooked: list[tuple[str, str]] = []

        def first(request: Request) -> int:
            user.set("bob")
            other.disconnect()
            cancel_on_disconnect(on_exit=lambda _: hooked.append(seen()))(self.plain)(kept)
            return NOT_DONE_YET

        other, kept = kept_request()
        Visit(first)
        self.assertEqual(hooked, [("anonymous", "none")])

    def test_what_was_set_around(self) -> None:
        """A pipelined request sees what the code around the entry points has set."""
        token = user.set("site")
        try:
            self.pipelined(self.finishing, self.see_and_answer)
        finally:
            user.reset(token)
        self.assertEqual(self.seen, [("site", "none")])


class OldContextTests(KindTestCase):
    """asyncio runs a timer in the context in which it was set, long after the handler's call."""

    def test_a_loss_that_is_told_there(self) -> None:
        """A loss that is told in the handler's old context stops the work in the same turn."""
        for kind in self.kinds():
            self.setUp()
            visit = Visit(kind, on_cancel=self.see)
            self.resume(visit)
            context = visit.scope.context
            assert context is not None
            context.copy().run(visit.disconnect)
            self.assertEqual(self.seen, [BOTH], kind)


class SwallowedTests(KindTestCase):
    """A coroutine is driven as Twisted drives it, in the context of its scope."""

    def test_eats_its_cancellation(self) -> None:
        """A coroutine that goes on after its cancellation still runs in its scope's context."""
        last: Deferred[None] = Deferred()

        async def handler(request: Request) -> bytes:
            user.set("ann")
            try:
                await Deferred(lambda _: None)
            except CancelledError:
                await last
            step.set("second")
            return b""

        visit = Visit(handler, on_cancel=self.see)
        visit.disconnect()
        self.assertEqual(self.seen, [])
        last.callback(None)
        self.assertEqual(self.seen, [BOTH])


class DefaultLogTests(KindTestCase):
    """Promise 12: the default log's line sees what the handler has set, without other observers."""

    @inlineCallbacks
    def failing(self, _: Request) -> Generator[Any, Any, None]:
        """A generator that fails."""
        user.set("ann")
        yield self.go
        step.set("second")
        raise ValueError

    def test_failure(self) -> None:
        """The default log's line sees what a generator has set before it failed."""
        self.watch_log()
        connection = connect(Page(cancel_on_disconnect(self.failing)))
        connection.get()
        self.resume(connection)
        self.assertEqual(self.seen, [BOTH])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_spared(self) -> None:
        """The default log's line of a spared request sees what its handler has set."""
        self.watch_log()

        @inlineCallbacks
        def handler(_: Request) -> Generator[Any, Any, bytes]:
            user.set("ann")
            yield self.go
            step.set("second")
            return b"page"

        connection = connect(CancellingResource(Page(handler)))
        connection.request(method=b"POST")
        connection.disconnect()
        self.resume(connection)
        self.assertEqual(self.seen, [BOTH])


class InnerHandlerTests(KindTestCase):
    """An async handler inside another one: an async authenticator before the pages, say."""

    def test_hook_in_the_first_step(self) -> None:
        """A hook that an inner handler adds before it waits sees what this handler sets later."""

        @cancel_on_disconnect
        async def inner(_: Request) -> None:
            user.set("ann")
            current_scope().on_cancel(self.see)
            await self.go
            step.set("second")
            await Deferred(lambda _: None)

        asked: Deferred[None] = Deferred()

        async def outer(request: Request) -> Any:
            user.set("outer")
            await asked
            return inner(request)

        visit = Visit(outer)
        asked.callback(None)
        self.resume(visit)
        visit.disconnect()
        self.assertEqual(self.seen, [BOTH])

"""What is logged for a request: the log sees the context variables of its handler.

What belongs here: single lines. What does not: the line of the outcome (`test_context_values`).
"""

import contextlib
import gc
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any
from weakref import ref

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.task import Clock, deferLater
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from cancelweb import (
    CancellingResource,
    Cause,
    Outcome,
    Scope,
    cancel_on_disconnect,
    current_scope,
    log_outcome,
)
from cancelweb._scopes.refusal import begin
from cancelweb.monitor import Monitor
from cancelweb.testing import Client, Connection

from .._pages import Page
from .._visits import connect
from .._work import Errand

user: ContextVar[object] = ContextVar("user", default="anonymous")


class Teapot(Cause):
    """A cause whose headers cannot be told."""

    @property
    def headers(self) -> Any:
        """Raise an error."""
        raise ValueError


class LoggedTestCase(SynchronousTestCase):
    """Visits of pages whose handlers set a variable; notes what the log sees.

    Attributes:
        logged: what is seen at each event of cancelweb's, by its text.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.logged: dict[str, object] = {}

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event["log_namespace"] == "cancelweb":
                self.logged[str(formatEvent(event))] = user.get()

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.addCleanup(self.flushLoggedErrors)

    def visit(self, handler: Any, **options: Any) -> Connection:
        """Ask for a page whose handler is this."""
        options.setdefault("observers", ())
        connection = connect(Page(cancel_on_disconnect(**options)(handler)), self.clock)
        connection.get()
        return connection

    def assert_seen(self, part: str, value: object = "ann") -> None:
        """A single line with this part was logged, where the variable had this value."""
        seen = [user for text, user in self.logged.items() if part in text]
        self.assertEqual(seen, [value], f"{part} in {self.logged}")


async def forever() -> None:
    """Wait without end."""
    await Deferred(lambda _: None)


class TheLogSeesTheValuesTests(LoggedTestCase):
    """Promise 12: each line that is logged for a request sees what its handler has set."""

    async def wait(self, _: Request) -> None:
        """A handler that sets the variable and waits."""
        user.set("ann")
        await forever()

    def test_failure_half_way(self) -> None:
        """The failure of a handler whose response has begun is logged in its context."""

        async def handler(request: Request) -> None:
            user.set("ann")
            request.write(b"x")
            await deferLater(self.clock, 1)
            raise ValueError

        self.visit(handler)
        self.clock.advance(1)
        self.assert_seen("the work of")

    def test_failure_behind_a_loss(self) -> None:
        """The failure of a handler whose client has left is logged in its context."""

        async def handler(_: Request) -> None:
            user.set("ann")
            try:
                await forever()
            finally:
                raise ValueError

        self.visit(handler).disconnect()
        self.assert_seen("the work of")

    def test_failure_that_a_hook_has_answered(self) -> None:
        """The failure of a handler is logged in its context if a hook has finished the response."""

        def handler(request: Request) -> bytes:
            user.set("ann")
            current_scope().on_exit(lambda _: request.finish())
            raise ValueError

        self.visit(handler)
        self.assert_seen("the work of")

    def test_failure_behind_the_end(self) -> None:
        """The lines of a survivor, and of its failure, are logged in its handler's context."""

        async def handler(_: Request) -> None:
            user.set("ann")
            try:
                await forever()
            except CancelledError:
                await deferLater(self.clock, 9)
                raise ValueError from None

        self.visit(handler).disconnect()
        self.clock.advance(5)
        self.assert_seen("still runs 5 s after it was asked to stop")
        gc.collect()
        self.clock.advance(4)
        self.assert_seen("has ended, 9.0 s after it was asked")
        self.assert_seen("work that outlived its scope failed")

    def test_survivor_that_is_a_generator(self) -> None:
        """The two lines of a survivor that is a generator are logged in its context."""

        @inlineCallbacks
        def handler(_: Request) -> Generator[Any, Any, None]:
            user.set("ann")
            try:
                yield Deferred(lambda _: None)
            except CancelledError:
                yield deferLater(self.clock, 9)

        self.visit(handler).disconnect()
        self.clock.advance(5)
        self.clock.advance(4)
        self.assert_seen("still runs 5 s after it was asked to stop")
        self.assert_seen("has ended, 9.0 s after it was asked")

    def test_survivor_of_a_closed_scope(self) -> None:
        """A survivor that was tracked on a closed scope is named in its own context."""

        async def late() -> None:
            user.set("ann")
            try:
                await forever()
            finally:
                await deferLater(self.clock, 9)

        scopes: list[Scope] = []

        def handler(_: Request) -> bytes:
            scopes.append(current_scope())
            return b""

        self.visit(handler)
        scopes[0].track(late())
        self.clock.advance(5)
        self.assert_seen("of a request that is over still runs")

    def test_let_go(self) -> None:
        """Work that was let go is logged in the handler's context."""
        held: list[Deferred[None]] = [Deferred()]

        async def handler(_: Request) -> None:
            user.set("ann")
            await held[0]

        self.visit(handler).disconnect()
        self.assert_seen("work was let go")

    def test_canceller(self) -> None:
        """A canceller that fails is logged in the handler's context."""

        class Work(Errand):
            def cancel(self) -> None:
                raise ValueError

        async def handler(request: Request) -> None:
            current_scope().track(Work())
            await self.wait(request)

        self.visit(handler).disconnect()
        self.assert_seen("the canceller")

    def test_canceller_of_a_timer(self) -> None:
        """A returned timer whose canceller fails is logged in the handler's context."""

        def handler(_: Request) -> object:
            user.set("ann")
            timer: Any = self.clock.callLater(1, int)
            timer.canceller = lambda _: 1 / 0
            return timer

        self.visit(handler).disconnect()
        self.assert_seen("the canceller")

    def test_hooks(self) -> None:
        """Hooks that fail, at once or later, or hang, are logged in the handler's context."""

        async def slow(_: Scope) -> None:
            await deferLater(self.clock, 2)
            raise ValueError

        def failing(_: Scope) -> None:
            raise ValueError

        self.visit(self.wait, on_cancel=[slow, slow, failing], cleanup_timeout=1).disconnect()
        self.assert_seen("failing failed")
        self.clock.advance(1)
        self.assert_seen("slow still runs")
        self.assert_seen("not waiting for these cleanup hooks")
        gc.collect()
        self.clock.advance(1)
        self.assert_seen("slow failed")

    def test_hook_that_is_stopped(self) -> None:
        """A hook that ends with the work that it waits for is logged in the handler's context."""

        async def handler(_: Request) -> None:
            user.set("ann")
            work = current_scope().track(forever())
            current_scope().on_cancel(lambda _: work)
            await forever()

        self.visit(handler).disconnect()
        self.assert_seen("the work that it waited for was stopped")

    def test_refusal(self) -> None:
        """Work that was not started is logged in the handler's context."""

        async def handler(_: Request) -> None:
            user.set("ann")
            with contextlib.suppress(CancelledError):
                await forever()
            await begin("a query", lambda: Deferred(lambda _: None))

        self.visit(handler).disconnect()
        self.clock.advance(0)
        self.assert_seen("in TheLogSeesTheValuesTests.test_refusal.<locals>.handler: ")

    def test_error_page(self) -> None:
        """A failing error page and a cause's wrong headers are logged in the handler's context."""

        def failing(*_: object) -> bytes:
            raise ValueError

        scopes: list[Scope] = []

        async def handler(request: Request) -> None:
            scopes.append(current_scope())
            await self.wait(request)

        self.visit(handler, error_page=failing)
        scopes[0].cancel(Teapot())
        self.assert_seen("failed, so the default page is sent")
        self.assert_seen("were left out")

    def test_producer(self) -> None:
        """A producer that cannot be stopped is logged in the handler's context."""

        class Failing:
            def stopProducing(self) -> None:
                raise ValueError

        async def handler(request: Any) -> None:
            request.registerProducer(Failing(), True)
            await self.wait(request)

        self.visit(handler, timeout=1)
        self.clock.advance(1)
        self.assert_seen("could not be stopped")
        self.logged.clear()
        client = Client(Page(cancel_on_disconnect(observers=())(handler)), self.clock)
        client.connect_http2().get(b"/").reset()
        self.assert_seen("could not be stopped")

    def test_listener(self) -> None:
        """A `notifyFinish` listener that was fired by hand is logged in the handler's context."""

        async def handler(request: Request) -> None:
            request.notifyFinish().callback(None)
            await self.wait(request)

        self.visit(handler, timeout=1)
        self.clock.advance(1)
        self.assert_seen("a listener of")

    def test_drain(self) -> None:
        """A request that a drain cannot cancel is logged in the handler's context."""

        async def handler(request: Any) -> None:
            request.registerProducer(object(), True)
            request.unregisterProducer = None
            await self.wait(request)

        monitor = Monitor(self.clock)
        root = CancellingResource(Page(handler), monitor=monitor, observers=())
        connection = connect(root, self.clock)
        connection.get()
        monitor.drain(0)
        self.clock.advance(0)
        self.assertEqual(connection.received, b"")
        self.assert_seen("could not be drained")

    def test_unanswerable(self) -> None:
        """A request that cannot be answered is logged in the handler's context."""

        async def handler(request: Any) -> bytes:
            user.set("ann")
            request.processingFailed = None
            await deferLater(self.clock, 1)
            raise ValueError

        self.visit(handler)
        self.clock.advance(1)
        self.assert_seen("could not be answered")

    def test_observer(self) -> None:
        """A failing observer, and the outcome behind it, are logged in the handler's context."""

        def failing(_: Outcome) -> None:
            raise ValueError

        self.visit(self.wait, observers=[failing, log_outcome]).disconnect()
        self.assert_seen("observer")
        self.assert_seen("stopped after")


class NothingIsKeptTests(LoggedTestCase):
    """Promise 12: the log of work that outlives its scope keeps nothing that a handler has set."""

    def test_survivor(self) -> None:
        """A survivor that does not run in the handler's context keeps nothing of it alive."""

        class Value:
            """Something large."""

        work = Errand(obedient=False)
        seen: list[ref[Value]] = []

        def handler(_: Request) -> int:
            value = Value()
            seen.append(ref(value))
            user.set(value)
            current_scope().track(work)
            return NOT_DONE_YET

        self.visit(handler).disconnect()
        self.clock.advance(5)
        self.logged.clear()
        self.assertIs(seen[0](), None)
        work.end()
        self.assert_seen("has ended", "anonymous")

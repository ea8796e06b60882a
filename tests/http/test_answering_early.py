"""Hooks that answer the request themselves, while an early result has yet to be sent.

Where a handler returns a result that needs no waiting, its hooks are run before Twisted writes the
response. What belongs here: what a hook may do to the request then. What does not: all else about
hooks (`scopes.test_hooks`), and results without such hooks (`test_results`).
"""

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.error import UnsupportedMethod
from twisted.web.server import Request

from cancelweb import CancellingResource, Outcome, Scope, cancel_on_disconnect, current_scope
from cancelweb.testing import Connection

from .._cycles import no_cycles
from .._pages import PAGE, GetPage, Handler, NoHead, Page, returning
from .._visits import connect
from ._multiplexed import HTTP2TestCase

BODY = b"what the hook writes"


class HandlerError(Exception):
    """What a handler fails with."""


def raising(_: Request) -> bytes:
    """Fail at once."""
    raise HandlerError


def failing(_: Request) -> Deferred[bytes]:
    """Have failed already."""
    return fail(HandlerError())


def unsupported(_: Request) -> bytes:
    """Have no such method, which is not the handler's error."""
    raise UnsupportedMethod((b"POST",))


async def a_coroutine(_: Request) -> bytes:
    """A coroutine that need not wait."""
    return PAGE


async def a_failing_coroutine(_: Request) -> bytes:
    """A coroutine that fails."""
    raise HandlerError


def tracking(_: Request) -> bytes:
    """Leave work behind."""
    current_scope().track(Deferred[None]())
    return PAGE


COMPLETE: list[Handler] = [
    returning(PAGE),
    lambda _: succeed(PAGE),
    a_coroutine,
    tracking,
    unsupported,
]
FAILED: list[Handler] = [raising, failing, a_failing_coroutine]

EntryPoint = Callable[[Handler, dict[str, Any]], Any]
"""Makes a resource of a handler and of the options of the entry point."""


def wrapped(handler: Handler, options: dict[str, Any]) -> Any:
    """Behind the wrapper."""
    return CancellingResource(Page(handler), **options)


def decorated(handler: Handler, options: dict[str, Any]) -> Any:
    """Behind the decorator."""
    return Page(cancel_on_disconnect(**options)(handler))


def both(handler: Handler, options: dict[str, Any]) -> Any:
    """Behind both, the hook at the inner one."""
    return CancellingResource(decorated(handler, options), observers=())


def twice(handler: Handler, options: dict[str, Any]) -> Any:
    """Behind two decorators, the hook at the inner one."""
    return Page(cancel_on_disconnect(observers=())(cancel_on_disconnect(**options)(handler)))


ENTRY_POINTS: list[EntryPoint] = [wrapped, decorated, both, twice]


def finish(request: Any) -> None:
    """Answer with an empty page."""
    request.finish()


def write_and_finish(request: Any) -> None:
    """Answer with a page."""
    request.write(BODY)
    request.finish()


@frozen
class Answer:
    """What a hook does, and the body that the client then has."""

    act: Callable[[Any], None]
    body: bytes


ANSWERS = [Answer(finish, b""), Answer(write_and_finish, BODY)]


class EarlyTestCase(SynchronousTestCase):
    """Visits to a handler whose result is early, and whose hook does something to the request."""

    def setUp(self) -> None:
        """What is told, and which hooks are run."""
        self.outcomes: list[Outcome] = []
        self.scopes: list[Scope] = []

    def visit(
        self, handler: Handler, hook: Callable[[Any], object], entry_point: EntryPoint = wrapped
    ) -> Connection:
        """Ask once; the hook is given the request."""
        self.outcomes.clear()
        self.scopes.clear()

        def on_exit(scope: Scope) -> object:
            self.scopes.append(scope)
            return hook(scope.request)

        options = {"on_exit": on_exit, "observers": self.outcomes.append}
        connection = connect(entry_point(handler, options))
        connection.get()
        return connection

    def assert_closed(self) -> None:
        """The hook was run once, and the scope has closed, told once, without a failure of ours."""
        self.assertEqual((len(self.scopes), len(self.outcomes)), (1, 1))
        self.assertIs(self.scopes[0].request, None)


class AnsweringHookTests(EarlyTestCase):
    """A hook that finishes the request."""

    def test_its_answer_is_sent(self) -> None:
        """The client has the hook's answer; the handler's is dropped, and nothing is logged."""
        for entry_point in ENTRY_POINTS:
            for handler in COMPLETE:
                for answer in ANSWERS:
                    connection = self.visit(handler, answer.act, entry_point)
                    self.assertEqual(connection.response.code, 200)
                    self.assertTrue(connection.response.is_complete)
                    self.assertEqual(connection.response.body, answer.body)
                    self.assert_closed()
                    self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.flushWarnings(), [], "it was finished twice")

    def test_an_error_is_logged(self) -> None:
        """Where the handler has failed, the hook's answer is sent, and the error logged once."""
        for entry_point in ENTRY_POINTS:
            for handler in FAILED:
                for answer in ANSWERS:
                    connection = self.visit(handler, answer.act, entry_point)
                    self.assertEqual(connection.response.body, answer.body)
                    self.assertTrue(connection.response.is_complete)
                    self.assert_closed()
                    (failure,) = self.flushLoggedErrors()
                    self.assertIs(failure.type, HandlerError)
                    self.assertIs(self.outcomes[0].failure.type, HandlerError)  # type: ignore[union-attr]

    def test_of_what_was_written(self) -> None:
        """Where the handler has written its page itself, that is the answer."""

        def handler(request: Any) -> Deferred[None]:
            request.write(PAGE)
            return succeed(None)

        for entry_point in ENTRY_POINTS:
            connection = self.visit(handler, write_and_finish, entry_point)
            self.assertEqual(connection.response.body, PAGE)
            self.assertTrue(connection.response.is_complete)
            self.assert_closed()
            self.assertEqual(self.flushLoggedErrors(), [])

    def test_the_connection_goes_on(self) -> None:
        """Where a hook has answered, the next request on the same connection is answered."""
        for handler in (*COMPLETE, *FAILED):
            connection = self.visit(handler, write_and_finish)
            connection.get()
            self.assertEqual([each.body for each in connection.responses], [BODY, BODY])
            self.flushLoggedErrors(HandlerError)

    def test_the_next_is_there_already(self) -> None:
        """A next request that arrived in the same read is answered, too."""
        connection = connect(wrapped(returning(PAGE), {"on_exit": lambda s: finish(s.request)}))
        with connection.in_one_read():
            connection.get()
            connection.get()
        self.assertEqual([each.body for each in connection.responses], [b"", b""])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_behind_a_page_that_waits(self) -> None:
        """A hook that finishes a pipelined request harms no page before it, and no scope."""
        first: Deferred[bytes] = Deferred()
        results: list[Any] = [first, PAGE]

        def hook(scope: Scope) -> None:
            request: Any = scope.request
            if not request.finished:
                request.finish()

        options = {"on_exit": hook, "observers": self.outcomes.append}
        connection = connect(wrapped(lambda _: results.pop(0), options))
        connection.get()
        connection.get()
        first.callback(BODY)
        self.assertEqual([each.body for each in connection.responses], [BODY, b""])
        self.assertEqual(len(self.outcomes), 2)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_that_then_waits(self) -> None:
        """Where the hook waits after it has answered, the scope waits for it."""
        for entry_point in ENTRY_POINTS:
            for handler in COMPLETE:
                gate: Deferred[None] = Deferred()

                async def hook(request: Any, gate: Deferred[None] = gate) -> None:
                    write_and_finish(request)
                    await gate

                connection = self.visit(handler, hook, entry_point)
                self.assertEqual((connection.response.body, self.outcomes), (BODY, []))
                gate.callback(None)
                self.assert_closed()
                self.assertEqual(self.flushLoggedErrors(), [])

    def test_that_waits_first(self) -> None:
        """Where the hook waits before it answers, the handler's answer is the one that is sent."""
        for entry_point in ENTRY_POINTS:
            for handler in (returning(PAGE), a_coroutine):
                gate: Deferred[None] = Deferred()

                async def hook(request: Any, gate: Deferred[None] = gate) -> None:
                    await gate
                    request.write(BODY)
                    request.finish()

                connection = self.visit(handler, hook, entry_point)
                gate.callback(None)
                self.assertEqual(connection.response.body, PAGE)
                self.assert_closed()
                self.flushWarnings()
                self.assertEqual(self.flushLoggedErrors(), [])

    def test_under_a_faked_head(self) -> None:
        """A hook that finishes a HEAD which Twisted fakes raises nothing, and the scope closes."""
        for handler in (returning(PAGE), lambda _: succeed(PAGE)):
            for answer in ANSWERS:
                options: Any = {
                    "on_exit": lambda scope, answer=answer: answer.act(scope.request),
                    "observers": self.outcomes.append,
                }
                self.outcomes.clear()
                connect(CancellingResource(NoHead(handler), **options)).request(b"HEAD")
                self.assertEqual(len(self.outcomes), 1)
                self.flushWarnings()
                self.assertEqual(self.flushLoggedErrors(), [])

    def test_leaves_no_cycle(self) -> None:
        """A hook that answers leaves nothing to the cycle collector."""
        options: Any = {"on_exit": lambda scope: write_and_finish(scope.request), "observers": ()}
        for handler in (*COMPLETE, *FAILED):
            connection = connect(wrapped(handler, options))
            with no_cycles(self):
                connection.get()
                self.flushLoggedErrors(HandlerError)
            self.assertEqual(connection.response.body, BODY)


class ClosingHookTests(EarlyTestCase):
    """A hook that closes the connection."""

    def test_in_good_order(self) -> None:
        """Where a hook closes the connection, the client gets the handler's answer before that."""
        for entry_point in ENTRY_POINTS:
            for handler in (returning(PAGE), a_coroutine):
                connection = self.visit(
                    handler, lambda request: request.loseConnection(), entry_point
                )
                connection.client.clock.advance(0)
                self.assertEqual(connection.response.body, PAGE)
                self.assertTrue(connection.is_closed)
                self.assert_closed()
                self.assertEqual(self.flushLoggedErrors(), [])

    def test_at_once(self) -> None:
        """Where a hook aborts the connection, nothing raises, and the scope closes."""
        for entry_point in ENTRY_POINTS:
            for handler in COMPLETE:
                connection = self.visit(
                    handler, lambda r: r.transport.abortConnection(), entry_point
                )
                connection.client.clock.advance(0)
                self.assertTrue(connection.is_aborted)
                self.assert_closed()
                self.assertEqual(self.flushLoggedErrors(), [])


class HTTP2Tests(HTTP2TestCase):
    """Hooks that answer over HTTP/2."""

    def test_finishes(self) -> None:
        """Over HTTP/2 the client has the hook's answer, and its connection goes on; no log line."""
        for handler in (returning(PAGE), lambda _: succeed(PAGE)):
            self.outcomes.clear()
            self.connect(handler, GetPage, on_exit=lambda scope: write_and_finish(scope.request))
            for _ in range(2):
                stream = self.get()
                self.assertEqual(self.body(stream), (BODY, True))
            self.assertEqual(len(self.outcomes), 2)
            self.assertEqual(self.flushLoggedErrors(), [])

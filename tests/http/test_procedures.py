"""XML-RPC: a procedure whose request is cancelled is not an error, and its client is told why.

What belongs here: what `twisted.web.xmlrpc` makes of a cancel. What does not: that it answers as in
plain Twisted (`test_others_same_bytes`), and procedures that run on (`test_others_twisted`).
"""

from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults, inlineCallbacks
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request
from twisted.web.xmlrpc import XMLRPC, Fault, addIntrospection, withRequest

from cancelweb import CancellingResource, Ended, Outcome, cancel_on_disconnect, current_scope
from cancelweb.testing import Connection

from .._cycles import no_cycles
from .._visits import connect

CALL = b"<?xml version='1.0'?><methodCall><methodName>%b</methodName></methodCall>"


class Calls(XMLRPC):
    """Procedures that track what they wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.work: Deferred[Any] = Deferred(lambda _: None)

    def xmlrpc_returned(self) -> Deferred[Any]:
        """Return the work, tracked."""
        return current_scope().track(self.work)

    async def xmlrpc_awaited(self) -> Any:
        """Await it."""
        return await current_scope().track(self.work)

    @inlineCallbacks
    def xmlrpc_yielded(self) -> Generator[Deferred[Any], Any, Any]:
        """Yield a list of the work, tracked."""
        return (yield current_scope().track(gatherResults([self.work, self.work])))

    @withRequest  # type: ignore[untyped-decorator]
    def xmlrpc_requested(self, request: Request) -> Deferred[Any]:
        """Take the request, and add a callback to the work, tracked."""
        return current_scope().track(self.work).addCallback(lambda _: request.uri)

    async def xmlrpc_fails(self) -> None:
        """Fail when the tracked work is stopped."""
        try:
            await current_scope().track(self.work)
        finally:
            raise KeyError

    async def xmlrpc_untracked(self) -> Any:
        """Await the work, which is not tracked."""
        return await self.work


class Decorated(Calls):
    """Procedures whose render method is decorated."""

    render_POST = cancel_on_disconnect(Calls.render_POST)


class ProcedureTestCase(SynchronousTestCase):
    """A wrapped resource of procedures, whose POST a disconnect may cancel."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.outcomes: list[Outcome] = []
        self.calls: Any = Calls()

    def call(self, name: bytes, **options: Any) -> Connection:
        """Call a procedure."""
        options = {"observers": self.outcomes.append, "methods": ["POST"], **options}
        connection = connect(CancellingResource(self.calls, **options), self.clock)
        connection.request(b"POST", body=CALL % name)
        return connection

    def assert_stopped(self) -> None:
        """The work was stopped, and the log has no error."""
        self.assertEqual([each.ended for each in self.outcomes], [Ended.STOPPED])
        self.assertEqual(self.flushLoggedErrors(), [])


class OwnCancelOfAProcedureIsNoErrorTests(ProcedureTestCase):
    """Twisted logs the errors of procedures, but not that cancelweb cancels them."""

    def test_client_leaves(self) -> None:
        """The tracked work of a procedure stops when the client leaves, and no error is logged."""
        for name in (b"returned", b"awaited", b"yielded", b"requested"):
            self.calls = Calls()
            self.outcomes.clear()
            self.call(name).disconnect()
            self.assert_stopped()

    def test_decorated(self) -> None:
        """Decorated procedures stop when the client leaves, and no error is logged."""
        self.calls = Decorated()
        self.call(b"returned").disconnect()
        self.assert_stopped()
        calls: Any = Decorated()
        connection = connect(calls, self.clock)
        connection.request(b"POST", body=CALL % b"returned")
        connection.disconnect()
        self.assertTrue(calls.work.called)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_inner_handlers(self) -> None:
        """The procedures of a sub-handler stop when the client leaves, and no error is logged."""
        inner = self.calls
        self.calls = XMLRPC()
        self.calls.putSubHandler("inner", inner)
        self.call(b"inner.returned").disconnect()
        self.assert_stopped()

    def test_deadline(self) -> None:
        """A client that waits for a procedure at its deadline gets a fault with the cause."""
        connection = self.call(b"awaited", timeout=3)
        self.clock.advance(3)
        self.assertIn(b"methodResponse", connection.response.body)
        self.assertIn(str(self.outcomes[0].cause).encode(), connection.response.body)
        self.assert_stopped()

    def test_a_real_error(self) -> None:
        """An error that a procedure raises when it is stopped is logged."""
        self.call(b"fails").disconnect()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_a_cancellation_that_is_not_ours(self) -> None:
        """A procedure whose work is cancelled by its owner answers with an error, and logs it."""
        connection = self.call(b"untracked")
        self.calls.work.cancel()
        self.assertIn(b"<string>error</string>", connection.response.body)
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)


class TransparentProcedureTests(ProcedureTestCase):
    """Apart from cancels, a wrapped `XMLRPC` behaves as it did before."""

    def test_is_as_before(self) -> None:
        """A call leaves the attributes of an `XMLRPC` as they were."""
        for own in ({}, {"lookupProcedure": lambda _: lambda: "own"}):
            vars(self.calls).update(own)
            before = dict(vars(self.calls))
            connection = self.call(b"missing")
            self.assertEqual(b"own" in connection.response.body, bool(own))
            self.assertEqual(vars(self.calls), before)

    def test_a_fault(self) -> None:
        """A missing procedure, and a fault that a procedure raises, are answered as in Twisted."""

        def refused(_: str) -> Callable[[], object]:
            def procedure() -> None:
                raise Fault(7, "refused")

            return procedure

        self.assertIn(b"not found", self.call(b"missing").response.body)
        self.calls.lookupProcedure = refused
        self.assertIn(b"refused", self.call(b"any").response.body)

    def test_introspection(self) -> None:
        """Introspection shows the docstring of the procedure itself."""
        addIntrospection(self.calls)
        params = b"<params><param><value>awaited</value></param></params>"
        name = b"system.methodHelp</methodName>" + params + b"<methodName>"
        body = (CALL % name).replace(b"<methodName></methodName>", b"")
        connection = connect(CancellingResource(self.calls), self.clock)
        connection.request(b"POST", body=body)
        self.assertIn(b"Await it.", connection.response.body)

    def test_leaves_nothing_behind(self) -> None:
        """A procedure leaves no reference cycle, whether it is stopped or answers."""
        answered, work = self.call(b"returned"), self.calls.work
        self.calls = Calls()
        stopped = self.call(b"returned")
        with no_cycles(self):
            work.callback("done")
            stopped.disconnect()
        self.assertIn(b"done", answered.response.body)

"""The programs of the how-to on types, which run as they type-check.

What belongs here: what they answer. What does not: what type checkers say (`typing`).
"""

from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import CancellingResource

from .._docs import TYPED_HANDLERS, TYPED_HOOKS, TYPED_ROWS, WRONG_TYPE, run
from .._pages import Page
from .._visits import connect
from ..stoppable._databases import DatabaseTestCase

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class HandlersTests(SynchronousTestCase):
    """The handlers of the page."""

    def test_answers(self) -> None:
        """Each kind of handler answers."""
        rates = run(TYPED_HANDLERS.read_text())["Rates"]
        for method, body in [
            (b"GET", b"EUR: 1.25\n"),
            (b"HEAD", b""),
            (b"POST", b"EUR: 1.25\n"),
            (b"PUT", b"EUR: 1.25\n"),
            (b"STREAM", b"EUR: 1.25\nUSD: 1.25\n"),
        ]:
            connection = connect(rates())
            connection.request(method)
            connection.client.clock.pump([0] * 3)
            self.assertEqual(connection.response.body, body)

    def test_wrong_one(self) -> None:
        """The handler that returns text is an error when it is called, too."""
        connection = connect(Page(run(WRONG_TYPE.read_text())["Rates"]().render_GET))
        connection.get()
        self.assertEqual(connection.response.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_hooks(self) -> None:
        """The hook adds its fact, the observer counts, and the error page answers."""
        program = run(TYPED_HOOKS.read_text())
        outcomes: list[Any] = []
        connection = connect(CancellingResource(Page(program["report"]), observers=outcomes.append))
        connection.get(headers={b"User-Agent": b"test"})
        connection.client.clock.advance(30)
        self.assertEqual(
            connection.response.body, b"Please try again: timed out after 30 s (timeout).\n"
        )
        self.assertEqual(program["counts"], {"STOPPED": 1})
        self.assertEqual(outcomes[0].notes, {"agent": b"test"})


class RowsTests(DatabaseTestCase):
    """The database of the page."""

    async def ask(self, handler: Any) -> bytes:
        """Ask for the page of a handler."""
        over: Deferred[object] = Deferred()
        root = CancellingResource(Page(handler), on_exit=over.callback, clock=reactor)
        connection = connect(root, Clock())
        connection.get()
        await over
        return connection.response.body

    async def test_answers(self) -> None:
        """What one handler inserts, the other lists."""
        await self.pool.runOperation("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT)")
        orders = run(TYPED_ROWS.read_text())["Orders"](self.pool)
        self.assertEqual(await self.ask(orders.add), b"order 1\n")
        self.assertEqual(await self.ask(orders.names), b"1: coffee\n")

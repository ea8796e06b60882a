"""Requests whose end Twisted does not report, because of a neighbour on their connection.

Twisted renders a pipelined request inside the `finish()` of the one before it. Where that raises,
the one before is finished, and its `notifyFinish` never fires. What belongs here: such neighbours.
What does not: the tests.
"""

import gc
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import CancellingResource, Outcome, Scope, current_scope
from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from .._pages import Handler, Page
from .._visits import connect

BODY = b"a page"


class NeighbourError(Exception):
    """What the neighbour raises."""


def finishing_and_raising(request: Request) -> bytes:
    """A handler with a common mistake: it raises after it has finished its request."""
    request.write(b"the neighbour's page")
    request.finish()
    raise NeighbourError


class NeighbourTestCase(SynchronousTestCase):
    """A page, and behind it a neighbour that raises inside the `finish()` of the page's request.

    Attributes:
        request: the page's.
        scope: its scope.
        waiting: what the page waits for, in most tests.
        ran: the names of the hooks that were run.
    """

    request: Any
    scope: Scope

    def setUp(self) -> None:
        """Create the clock, the monitor, and the lists of what is told."""
        # What the Deferred of an error page keeps is logged when that is freed.
        self.addCleanup(self.flushLoggedErrors, RuntimeError)
        self.addCleanup(gc.collect)
        self.clock = Clock()
        self.monitor = Monitor(self.clock)
        self.outcomes: list[Outcome] = []
        self.ran: list[str] = []
        self.waiting: Deferred[Any] = Deferred()

    def pages(self, handler: Handler, **options: Any) -> Resource:
        """A wrapped page, and a neighbour that is not wrapped."""

        def noting(request: Request) -> object:
            self.request, self.scope = request, current_scope()
            return handler(request)

        options.setdefault("on_exit", lambda _: self.ran.append("exit"))
        page: Any = CancellingResource(
            Page(noting),
            monitor=self.monitor,
            observers=self.outcomes.append,
            on_cancel=lambda _: self.ran.append("cancel"),
            **options,
        )
        root = Resource()
        root.putChild(b"page", page)
        root.putChild(b"neighbour", Page(finishing_and_raising))
        return root

    def ask(
        self, handler: Handler, *, neighbours: Sequence[bytes] = (b"/neighbour",), **options: Any
    ) -> Connection:
        """Ask for the page and, pipelined behind it, for its neighbours."""
        self.connection = connect(self.pages(handler, **options), self.clock)
        with self.connection.in_one_read():
            for path in (b"/page", *neighbours):
                self.connection.get(path)
        return self.connection

    def wait(self, _: Request) -> Deferred[Any]:
        """A handler that waits."""
        return self.waiting

    def finish(self) -> None:
        """Write and finish the response by hand."""
        self.request.write(BODY)
        self.request.finish()

    def finish_in_vain(self, finish: Callable[[], object]) -> None:
        """Finish the page in user code, which gets an error because the neighbour raised."""
        with self.assertRaises(RuntimeError):
            finish()
        self.assertTrue(self.request.finished)

    def drain(self) -> None:
        """Drain the monitor, and let more time pass than the drain may take."""
        done: list[None] = []
        self.monitor.drain(10).addCallback(done.append)
        self.clock.pump([10] + [1] * 30)
        self.assertEqual(done, [None], "the drain does not end")

    def assert_closed(self, *ran: str) -> Outcome:
        """The scope has closed without a cause: its hooks ran and its outcome was told once."""
        self.assertEqual(self.monitor.scopes, ())
        self.assertIs(self.scope.request, None)
        self.assertIs(self.scope.cause, None)
        self.assertEqual(self.ran, list(ran) or ["exit"])
        self.assertEqual(len(self.outcomes), 1)
        return self.outcomes[0]

    def assert_stays_closed(self) -> None:
        """A disconnect and a drain tell nothing more, and no timer is left."""
        ran = self.ran.copy()
        self.connection.disconnect()
        self.drain()
        self.assertEqual((self.ran, len(self.outcomes)), (ran, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def assert_logged(self, *errors: type[BaseException]) -> None:
        """These errors were logged, in this order, besides the error of the neighbour."""
        self.assertEqual(len(self.flushLoggedErrors(NeighbourError)), 1)
        logged = [each.type for each in self.flushLoggedErrors()]
        self.assertEqual(logged, list(errors))

"""The list of traps names tests that exist; and the traps that have no better place.

What belongs here: the list in `traps.md`, and connections that do not report a loss, or report
an unwanted one.
"""

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request, Site

from cancelweb import Disconnected, Ended, TimedOut, cancel_on_disconnect
from cancelweb.testing import Client, Connection, Exchange, assert_not_cancelled

from .._pages import PAGE, Page
from .._visits import VisitTestCase
from ._cases import CASES, TESTS, methods

ROWS = re.findall(r"^\| (\d+) \| .+? \| (.+) \|$", (TESTS / "traps.md").read_text(), re.M)
BLINDING = b"x" * (2**14 + 1)
"""More than Twisted reads ahead of the request that it handles."""


class ListTests(SynchronousTestCase):
    """The list in `traps.md`."""

    def test_is_complete(self) -> None:
        """Each trap has a row, in order, with a test or with the reason why there is none."""
        self.assertTrue(ROWS)
        self.assertEqual([int(number) for number, _ in ROWS], list(range(1, len(ROWS) + 1)))
        for _, tests in ROWS:
            self.assertRegex(tests, r"^(`|documented: )")

    def test_tests_exist(self) -> None:
        """Each test that the list of traps names exists, read without importing it."""
        tests = re.findall(r"`([\w.]+)\.(\w+)\.(\w+)`", str(ROWS))
        self.assertTrue(tests)
        for module, case, method in tests:
            self.assertIn(case, CASES[module], module)
            self.assertIn(method, methods(CASES[module][case]), (module, case))


class BlindTests(VisitTestCase):
    """A client that sends more behind its request than Twisted reads ahead, and leaves."""

    def blind(self, **options: float) -> Connection:
        """Ask, send more than the server reads ahead, and disconnect."""
        self.work: Deferred[bytes] = Deferred()

        def handler(_: Request) -> Deferred[bytes]:
            return self.work

        connection = self.visit(handler, **options)
        connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + BLINDING)
        self.assertEqual(connection._transport.producerState, "paused")
        connection.disconnect()
        return connection

    def test_the_loss_is_not_seen(self) -> None:
        """The work runs on after its client leaves if the server does not read from it."""
        self.blind()
        self.work.callback(PAGE)
        self.assertIsNone(self.outcome.cause)

    def test_the_deadline_is_the_net(self) -> None:
        """The deadline stops work whose client's leaving cannot be seen."""
        self.blind(timeout=3)
        self.clock.advance(3)
        self.assertEqual(self.outcome.cause, TimedOut(3))
        self.assertTrue(self.work.called)


class SilentTests(SynchronousTestCase):
    """A client of HTTP/2 that waits for its answer, and sends nothing meanwhile."""

    def waiting(self, timeout: float | None) -> Exchange:
        """Ask a Site with this idle timeout, and wait for longer."""

        @cancel_on_disconnect
        def handler(_: Request) -> Deferred[bytes]:
            return Deferred()

        clock: Any = Clock()
        site = Site(Page(handler), reactor=clock, timeout=timeout)
        stream = Client(site).connect_http2().get()
        # A minute until Twisted says goodbye, and 15 seconds until it closes.
        clock.pump([60, 0, 15, 0])
        return stream

    def test_is_lost(self) -> None:
        """The idle timeout of a Site ends an HTTP/2 connection while it waits for an answer."""
        outcome = self.waiting(60).outcome
        assert outcome is not None
        self.assertIsInstance(outcome.cause, Disconnected)

    def test_is_kept(self) -> None:
        """A Site without an idle timeout keeps an HTTP/2 connection that waits for an answer."""
        stream = self.waiting(None)
        self.assertIsNone(stream.outcome)
        assert_not_cancelled(stream)


class UnsentTests(SynchronousTestCase):
    """A client that does not read."""

    def test_finished_is_not_delivered(self) -> None:
        """A finished response that its client leaves unread counts as completed."""

        async def handler(_: Request) -> bytes:
            return b"x" * 200_000

        connection = Client(Page(cancel_on_disconnect(handler))).connect()
        connection.pause()
        exchange = connection.get()
        exchange.disconnect()
        outcome = exchange.outcome
        assert outcome is not None
        self.assertEqual((outcome.ended, outcome.cause), (Ended.COMPLETED, None))
        self.assertIsNone(exchange.response)

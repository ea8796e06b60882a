"""The list of traps names tests that exist; and the traps that have no better place.

What belongs here: the list in `traps.md`, and connections that do not tell of a loss.
"""

import re
from importlib import import_module
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import TimedOut

from ._inmemory import Client
from ._pages import PAGE, PageTestCase

ROWS = re.findall(
    r"^\| (\d+) \| .+? \| (.+) \|$", Path(__file__).with_name("traps.md").read_text(), re.M
)
BLINDING = b"x" * (2**14 + 1)
"""More than Twisted reads ahead of the request that it handles."""


class ListTests(SynchronousTestCase):
    """The list."""

    def test_is_complete(self) -> None:
        """Each trap has a row, in order, with a test or with the reason why there is none."""
        self.assertEqual([int(number) for number, _ in ROWS], list(range(1, len(ROWS) + 1)))
        for _, tests in ROWS:
            self.assertRegex(tests, r"^(`|documented: |not built yet: )")

    def test_tests_exist(self) -> None:
        """Each test that is named is there."""
        for module, case, method in re.findall(r"`(\w+)\.(\w+)\.(\w+)`", str(ROWS)):
            tests = getattr(import_module(f"tests.{module}"), case)
            self.assertTrue(callable(getattr(tests, method, None)), (module, case, method))


class BlindTests(PageTestCase):
    """A client that sends so much behind its request that Twisted reads no more, and leaves."""

    def blind(self, **options: float) -> Client:
        """Ask, and send more than is read."""
        self.work: Deferred[bytes] = Deferred()

        def handler(_: Request) -> Deferred[bytes]:
            return self.work

        client = self.visit(handler, **options)
        client.transport.deliver(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + BLINDING)
        self.assertEqual(client.transport.producerState, "paused")
        return client

    def test_the_loss_is_not_seen(self) -> None:
        """The server reads no more from it, so no FIN either: the work runs to its end."""
        self.blind()
        self.work.callback(PAGE)
        self.assertIsNone(self.outcome().cause)

    def test_the_deadline_is_the_net(self) -> None:
        """The deadline stops what no disconnect does."""
        self.blind(timeout=3)
        self.clock.advance(3)
        self.assertEqual(self.outcome().cause, TimedOut(3))
        self.assertTrue(self.work.called)

"""Many streams of a connection, and many who wait for one run: each costs the same.

Counted, not timed (`_counting`). What belongs here: what many requests share. What does not: much
work for one request (`test_many`), and drains (`test_many_drained`).
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Shared

from .._pages import waiting
from ..http._rapid import RapidResetTestCase
from ._counting import assert_linear


class SharedTests(SynchronousTestCase):
    """Many waits for one run."""

    def prepare(self, number: int) -> list[Deferred[None]]:
        """Have so many wait for a new run."""
        self.running: Deferred[None] = Deferred()
        shared = Shared(lambda: self.running)
        return [shared().addErrback(lambda _: None) for _ in range(number)]

    def test_are_told(self) -> None:
        """The cost of telling all waits that the shared run has ended is linear."""

        def prepare(number: int) -> Callable[[], object]:
            self.prepare(number)
            return lambda: self.running.callback(None)

        assert_linear(self, prepare)

    def test_leave(self) -> None:
        """The cost of cancelling the waits for a shared run, one by one, is linear."""

        def prepare(number: int) -> Callable[[], object]:
            waits = self.prepare(number)

            def act() -> None:
                for each in waits:
                    each.cancel()

            return act

        assert_linear(self, prepare)


class ConnectionTests(RapidResetTestCase):
    """Many streams of one connection over HTTP/2."""

    def test_are_lost(self) -> None:
        """The cost of stopping the work for all streams of a connection is linear."""

        def prepare(number: int) -> Callable[[], object]:
            self.connect(waiting)
            for _ in range(number):
                self.get()
            return self.connection.disconnect

        assert_linear(self, prepare)

    def test_clean_up(self) -> None:
        """The cost of ending the clean-up of all streams of a connection is linear."""

        def prepare(number: int) -> Callable[[], object]:
            self.cleanups.clear()
            self.serve_slow_cleanup(max_abandoned=None)
            self.reset_rapidly(number)

            def act() -> None:
                for each in self.cleanups:
                    each.callback(None)

            return act

        assert_linear(self, prepare)

    def test_are_turned_away(self) -> None:
        """The cost of turning away as many requests as are still being cleaned up is linear."""

        def prepare(number: int) -> Callable[[], object]:
            self.cleanups.clear()
            self.serve_slow_cleanup(max_abandoned=number)
            self.reset_rapidly(number)
            self.assertEqual(self.handled, number)
            self.handled = 0

            def act() -> None:
                for _ in range(number):
                    self.connection.get()
                self.settle()
                self.assertEqual(self.handled, 0)

            return act

        assert_linear(self, prepare)
        for each in self.cleanups:
            each.callback(None)

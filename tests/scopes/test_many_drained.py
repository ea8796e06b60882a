"""A drain costs the same per scope and per piece of detached work, however many there are.

Steps are counted, not timed (`_counting`). What belongs here: what a monitor does with all of its
scopes. What does not: the other things that many requests share (`test_many_scopes`).
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import CancellingResource, Scope, detach
from cancelweb.monitor import Monitor

from .._pages import Page
from .._visits import connect
from .._work import Errand
from ._counting import FEW, assert_linear


class Watched(Monitor):
    """A monitor that counts the entries copied from its lists, as copying in C shows no steps.

    Attributes:
        copied: how many entries were copied.
    """

    copied = 0

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """See `Monitor`."""
        return self._counted(super().scopes)

    @property
    def detached(self) -> tuple[Any, ...]:
        """See `Monitor`."""
        return self._counted(super().detached)

    def _counted(self, found: tuple[Any, ...]) -> tuple[Any, ...]:
        self.copied += len(found)
        return found


class DrainTests(SynchronousTestCase):
    """A server with many scopes, or much detached work, is drained."""

    def open(self, number: int, **options: Any) -> None:
        """Open so many requests on a new site."""
        self.clock = Clock()
        self.monitor = Watched(self.clock)
        self.answers: list[Deferred[bytes]] = []
        self.serve(number, **options)

    def serve(self, number: int, **options: Any) -> None:
        """Open so many requests, which wait for their answers."""

        def handler(_: Request) -> Deferred[bytes]:
            self.answers.append(Deferred())
            return self.answers[-1]

        root = CancellingResource(
            Page(handler), monitor=self.monitor, observers=(), methods=["GET"], **options
        )
        for _ in range(number):
            connect(root, self.clock).get()

    def begin(self, seconds: float) -> list[None]:
        """Begin a drain."""
        done: list[None] = []
        self.monitor.drain(seconds).addCallback(done.append)
        return done

    def end(self) -> None:
        """Answer all requests, one by one."""
        for answer in self.answers:
            if not answer.called:
                answer.callback(b"page")

    def assert_few_are_copied(self, act: Callable[[int], object]) -> None:
        """Insist that for twice as many scopes at most twice as many entries are copied."""
        copied = []
        for number in (FEW, 2 * FEW):
            act(number)
            copied.append(self.monitor.copied)
        # Some lists are copied once in each step of a drain.
        self.assertLessEqual(copied[1], 2 * copied[0] + FEW)

    def test_that_are_waited_for(self) -> None:
        """A drain that waits for many requests to end takes linearly many steps and copies."""

        def prepare(number: int) -> Callable[[], object]:
            self.open(number)
            self.done = self.begin(10)
            return self.end

        assert_linear(self, prepare)
        self.clock.pump([0, 1, 1])
        self.assertEqual(self.done, [None])
        self.assert_few_are_copied(lambda number: prepare(number)())

    def test_that_are_cancelled(self) -> None:
        """A drain that cancels many requests takes linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            self.open(number)
            self.begin(0)
            return lambda: self.clock.advance(0)

        assert_linear(self, prepare)

    def test_that_clean_up(self) -> None:
        """A drain that waits for many requests to clean up takes linearly many steps and copies."""

        def prepare(number: int) -> Callable[[], object]:
            self.open(0)
            return self.cancel(number)

        assert_linear(self, prepare)
        self.assert_few_are_copied(lambda number: prepare(number)())

    def test_that_clean_up_beside_a_dry_run(self) -> None:
        """A drain that waits for cleanup beside many dry-run requests takes linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            self.open(number, dry_run=True)
            self.addCleanup(self.end)
            return self.cancel(number)

        assert_linear(self, prepare)

    def cancel(self, number: int) -> Callable[[], object]:
        """Let a drain cancel so many requests, and return a function that ends their cleanup."""
        hooks: list[Deferred[None]] = []

        def hook(_: Scope) -> Deferred[None]:
            hooks.append(Deferred())
            return hooks[-1]

        def end() -> None:
            for each in hooks:
                each.callback(None)

        self.serve(number, on_exit=hook)
        self.begin(0)
        self.clock.advance(0)
        self.assertEqual(len(hooks), number)
        return end

    def test_detached_work(self) -> None:
        """A drain that waits for much detached work takes linearly many steps and copies."""

        def prepare(number: int) -> Callable[[], object]:
            self.open(0)
            works = [Errand() for _ in range(number)]

            def handler(_: Request) -> bytes:
                for each in works:
                    detach(each)
                return b"page"

            root = CancellingResource(Page(handler), monitor=self.monitor, observers=())
            connect(root, self.clock).get()
            self.done = self.begin(10)

            def act() -> None:
                for each in works:
                    each.end()

            return act

        assert_linear(self, prepare)
        self.clock.pump([0, 1, 1])
        self.assertEqual(self.done, [None])
        self.assert_few_are_copied(lambda number: prepare(number)())

    def test_blind_spots(self) -> None:
        """Looking once for the blind spots of many requests takes linearly many steps."""

        def prepare(number: int) -> Callable[[], object]:
            self.open(number)
            return self.monitor.blind_spots

        assert_linear(self, prepare)
        self.end()

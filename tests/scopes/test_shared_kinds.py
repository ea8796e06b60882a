"""`Shared`: what can be shared, what a run sees, and what is left of it.

What belongs here: functions and methods, their arguments, context variables, memory. What does not:
which caller waits for which run.
"""

from collections.abc import Callable, Generator
from contextvars import ContextVar
from functools import partial
from typing import Any, assert_type
from weakref import ref

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cancelweb import ICancellable, Shared, cancel_on_disconnect, current_scope

from .._cycles import no_cycles
from .._logs import log_events, of_cancelweb
from .._pages import Page
from .._visits import Visit, connect
from .._work import Errand

variable: ContextVar[str] = ContextVar("variable", default="the default")


def shared_errand(errand: Errand, **options: Any) -> Shared[[], Any]:
    """A shared function whose only run is this errand."""
    function: Any = lambda: errand  # noqa: E731
    return Shared(function, **options)


class ContextTests(SynchronousTestCase):
    """Runs and waiters see context variables of their own."""

    def test_of_the_run(self) -> None:
        """A run sees the context variables of no caller, and has no current scope."""
        seen: list[str] = []

        async def work() -> bytes:
            seen.append(variable.get())
            self.assertRaises(LookupError, current_scope)
            return b"done"

        shared = Shared(work)

        async def handler(request: object) -> bytes:
            variable.set("mine")
            return await shared()

        self.assertEqual(Visit(handler).response.body, b"done")
        self.assertEqual(seen, ["the default"])

    def test_of_a_run_that_is_stopped(self) -> None:
        """The canceller of a run sees the context variables of no caller."""
        seen: list[str] = []
        report: Deferred[Any] = Deferred(lambda _: seen.append(variable.get()))
        shared = Shared[[], Any](lambda: report)

        def handler(request: object) -> Deferred[Any]:
            variable.set("mine")
            return shared()

        Visit(handler).disconnect()
        variable.set("the default")
        self.assertEqual(seen, ["the default"])

    def test_of_the_waiters(self) -> None:
        """A waiter's callbacks see its own variables, not those of the run or of other waiters."""
        report: Deferred[None] = Deferred()
        seen: list[str] = []

        async def work() -> None:
            variable.set("the run's")
            await report

        shared = Shared(work)

        def told(_: object) -> None:
            seen.append(variable.get())
            variable.set("left behind")

        for name in ["first", "second"]:
            variable.set(name)
            shared().addCallback(told)
        variable.set("the default")
        report.callback(None)
        self.assertEqual(seen, ["first", "second"])
        self.assertEqual(variable.get(), "the default")


class KindTests(SynchronousTestCase):
    """Functions of several kinds can be shared."""

    def test_functions(self) -> None:
        """Coroutine functions, `inlineCallbacks` generators and plain functions can be shared."""
        clock, runs = Clock(), list[int]()

        @Shared
        async def coroutine(number: int) -> int:
            runs.append(number)
            await deferLater(clock, 1)
            return number

        @Shared
        @inlineCallbacks
        def generator(number: int) -> Generator[Deferred[Any], Any, int]:
            runs.append(number)
            yield deferLater(clock, 1)
            return number

        @partial(Shared, linger=2, clock=clock)
        def function(number: int) -> Deferred[int]:
            runs.append(number)
            return deferLater(clock, 1, lambda: number)

        waiting = [shared(7) for shared in (coroutine, generator, function) for _ in range(2)]
        for each in waiting:
            assert_type(each, Deferred[int])
        clock.advance(1)
        self.assertEqual([self.successResultOf(each) for each in waiting], [7] * 6)
        self.assertEqual(runs, [7, 7, 7])

    def test_a_plain_result(self) -> None:
        """A shared function whose result needs no waiting gives it to the caller."""
        seven: Any = lambda: 7  # noqa: E731
        shared: Shared[[], int] = Shared(seven)
        self.assertEqual(self.successResultOf(shared()), 7)

    def test_methods(self) -> None:
        """A shared method has one run for each instance."""
        runs: list[object] = []

        class Store:
            @Shared
            def load(self, number: int) -> Deferred[int]:
                """Load."""
                runs.append(self)
                return Deferred()

        stores = [Store(), Store()]
        for store in [*stores, *stores]:
            assert_type(store.load(7), Deferred[int])
        self.assertEqual(runs, stores)
        self.assertIsInstance(Store.load, Shared)

    def test_looks_like_its_function(self) -> None:
        """A `Shared` has its function's docstring, and the function in `__wrapped__`."""

        async def load(number: int) -> int:
            """Load it."""
            return number

        shared = Shared(load)
        self.assertEqual((shared.__doc__, vars(shared)["__wrapped__"]), ("Load it.", load))
        shared(7)
        self.assertRegex(repr(shared), r"^<Shared .*load, 0 running>$")

    def test_an_argument_without_a_hash(self) -> None:
        """A call of a shared function with an unhashable argument raises a TypeError."""
        with self.assertRaisesRegex(TypeError, "load is shared .* must be hashable.*'list'"):
            Shared(load)([])

    def test_wrong_options(self) -> None:
        """`Shared` raises for each wrong argument when it is made."""
        wrong: list[tuple[type[Exception], dict[str, Any]]] = [
            (TypeError, {"linger": "2"}),
            (TypeError, {"linger": True}),
            (ValueError, {"linger": -1}),
            (ValueError, {"linger": float("inf")}),
            (ValueError, {"linger": float("nan")}),
            (TypeError, {"clock": object()}),
            (TypeError, {"function": 7}),
        ]
        for error, options in wrong:
            self.assertRaises(error, Shared, **{"function": load, **options})


def load(name: object) -> Deferred[None]:
    """A function to share."""
    return succeed(None)


class Key:
    """An argument that can be looked for when it should be gone."""


@implementer(ICancellable)
class Farmed:
    """Work with details of its own: see `cancelweb.ICancellableDetails`."""

    clock: Any = None
    survivor_after: float | None = None
    is_end_observable = True

    def __init__(self) -> None:
        self.asked = 0
        self.settled: Deferred[Any] = Deferred()

    def cancel(self) -> None:
        """Count that it was asked."""
        self.asked += 1

    def when_settled(self) -> Deferred[Any]:
        return self.settled


class DetailsTests(SynchronousTestCase):
    """A run is work of a user's own kind, with details."""

    def leave(self, work: Farmed) -> Clock:
        """Share the work, leave it, and let it be stopped; returns the clock."""
        clock = Clock()
        function: Any = lambda: work  # noqa: E731
        waiting: Deferred[Any] = Shared(function, linger=1, clock=clock)()
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        clock.advance(1)
        self.assertEqual(work.asked, 1)
        return clock

    def test_has_the_clock(self) -> None:
        """Work with details that is run by `Shared` is given the clock."""
        work = Farmed()
        self.assertIs(work.clock, None)
        self.assertIs(self.leave(work), work.clock)

    def test_has_more_time(self) -> None:
        """A run whose work asks for more time is named a survivor only after that time."""
        events, work = log_events(self), Farmed()
        work.survivor_after = 30.0
        clock = self.leave(work)
        clock.advance(29)
        self.assertEqual(of_cancelweb(events), [])
        clock.advance(1)
        [event] = of_cancelweb(events)
        self.assertEqual(event["seconds"], 30.0)

    def test_whose_end_cannot_be_observed(self) -> None:
        """A run whose end cannot be observed is not named later, and leaves no timer."""
        events, work = log_events(self), Farmed()
        work.is_end_observable = False
        clock = self.leave(work)
        clock.advance(60)
        self.assertEqual((of_cancelweb(events), clock.getDelayedCalls()), ([], []))


class MemoryTests(SynchronousTestCase):
    """Runs that are over are not kept in memory."""

    def forgets(self, end: Callable[[Deferred[None], Deferred[None]], object]) -> None:
        """Insist that nothing holds a run's argument once `end` has ended the run or left it."""
        for linger in 0, 2:
            report: Deferred[None] = Deferred()
            clock, key = Clock(), Key()
            gone = ref(key)
            shared = Shared(lambda key, report=report: report, linger, clock=clock)
            waiting = shared(key)
            waiting.addErrback(lambda _: None)
            del key
            self.assertIsNotNone(gone())
            end(report, waiting)
            clock.advance(2)
            self.assertIsNone(gone())

    def test_arguments_are_forgotten(self) -> None:
        """When a run has ended, has failed, or was stopped, nothing holds its arguments."""
        self.forgets(lambda report, waiting: report.callback(None))
        self.forgets(lambda report, waiting: report.errback(ValueError()))
        self.forgets(lambda report, waiting: waiting.cancel())

    def test_no_cycles(self) -> None:
        """Runs that succeed, fail or are left leave nothing to the cycle collector."""
        errands: list[Errand] = []

        def work() -> Any:
            errands.append(Errand())
            return errands[-1]

        connections = [connect(Page(cancel_on_disconnect(lambda _: called()))) for _ in range(4)]
        called: Any = None
        with no_cycles(self):
            called = Shared(work)
            for end in b"page", Failure(ValueError()), None:
                for connection in connections:
                    connection.get()
                if end is None:
                    for connection in connections:
                        connection.disconnect()
                errands.pop().end(end)
            end = called = None
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 4)

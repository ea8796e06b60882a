"""`Shared`: one run of a function for many who ask.

What belongs here: runs, waiters, and what each of them sees. What does not: random orders of
events, which have a module of their own.
"""

import asyncio
import gc
from collections.abc import Callable, Generator
from contextvars import ContextVar
from functools import partial
from typing import Any, assert_type
from weakref import ref

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks, succeed
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Ended, Shared, cancel_on_disconnect, current_scope

from ._inmemory import Client, log_events, no_cycles, of_cancelweb
from ._scopes import Errand, Leaf, Visit

variable: ContextVar[str] = ContextVar("variable", default="nobody's")


class Reports:
    """A slow function: notes its runs, which the test ends."""

    def __init__(self) -> None:
        self.running: list[Deferred[Any]] = []
        self.stopped: list[Deferred[Any]] = []

    def __call__(self, name: str = "year") -> Deferred[Any]:
        """Begin."""
        report: Deferred[Any] = Deferred(self.stopped.append)
        self.running.append(report)
        return report


def shared_errand(errand: Errand, **options: Any) -> Shared[[], Any]:
    """A shared function whose only run is this errand."""
    function: Any = lambda: errand  # noqa: E731
    return Shared(function, **options)


class Base(SynchronousTestCase):
    """What the tests below share."""

    def setUp(self) -> None:
        """A slow function, and its shared form."""
        self.reports = Reports()
        self.shared: Shared[[str], Any] = Shared(self.reports)


class RunTests(Base):
    """One run, and who waits for it."""

    def test_a_hundred_requests(self) -> None:
        """A hundred requests for one report run it once, and all get it."""
        visits = [Visit(lambda request: self.shared("year")) for _ in range(100)]
        self.assertEqual(len(self.reports.running), 1)
        self.reports.running[0].callback(b"a report")
        self.assertEqual({visit.response.body for visit in visits}, {b"a report"})

    def test_ninety_nine_leave(self) -> None:
        """The run goes on as long as one still waits; when the last leaves, it is stopped."""
        visits = [Visit(lambda request: self.shared("year")) for _ in range(100)]
        for visit in visits[:99]:
            visit.disconnect()
            self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        self.assertEqual(self.reports.stopped, [])
        visits[99].disconnect()
        self.assertEqual(self.reports.stopped, self.reports.running)
        self.assertEqual(visits[99].outcome.ended, Ended.STOPPED)

    def test_the_one_who_stays(self) -> None:
        """Who stays when the first has left gets his report."""
        first, second = (Visit(lambda request: self.shared("year")) for _ in range(2))
        first.disconnect()
        self.reports.running[0].callback(b"a report")
        self.assertEqual(second.response.body, b"a report")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_different_arguments(self) -> None:
        """Different arguments are different runs, whether by position or by name."""
        for ask in [partial(self.shared, "year"), partial(self.shared, "month")]:
            ask()
        self.shared(name="year")  # type: ignore[call-arg]
        self.assertEqual(len(self.reports.running), 3)

    def test_a_run_that_has_ended(self) -> None:
        """It is no cache: who asks when the run has ended begins a new one."""
        self.shared("year")
        self.reports.running[0].callback(1)
        self.assertNoResult(self.shared("year"))
        self.assertEqual(len(self.reports.running), 2)

    def test_asking_again_on_delivery(self) -> None:
        """Who asks again when the result is told begins a new run."""
        waiting = self.shared("year").addCallback(lambda _: self.shared("year"))
        self.reports.running[0].callback(1)
        self.assertNoResult(waiting)
        self.assertEqual(len(self.reports.running), 2)

    def test_a_run_that_is_stopping(self) -> None:
        """Who asks while a cancelled run has not yet stopped begins a new one beside it."""
        errands = [Errand(obedient=False), Errand()]
        begin: Any = iter(errands).__next__
        shared: Shared[[], Any] = Shared(begin)
        last = shared()
        last.cancel()
        newcomer = shared()
        errands[1].end("new")
        self.assertEqual(self.successResultOf(newcomer), "new")
        errands[0].end("old")
        self.failureResultOf(last, CancelledError)

    def test_the_old_run_does_not_forget_the_new(self) -> None:
        """When the stopped run ends at last, the one that was begun meanwhile is still joined."""
        errands = [Errand(obedient=False), Errand()]
        begin: Any = iter(errands).__next__
        shared: Shared[[], Any] = Shared(begin)
        shared().addErrback(lambda _: None).cancel()
        waiting = shared()
        errands[0].end()
        both = [waiting, shared()]
        errands[1].end("new")
        self.assertEqual([self.successResultOf(each) for each in both], ["new", "new"])

    def test_waiters_are_told_in_their_order(self) -> None:
        """Who came first is told first."""
        told: list[int] = []
        for number in range(3):
            self.shared("year").addCallback(lambda _, number: told.append(number), number)
        self.reports.running[0].callback(None)
        self.assertEqual(told, [0, 1, 2])

    def test_one_waiter_cancels_another_on_delivery(self) -> None:
        """A waiter that is cancelled while the others are told is told of that, and no more."""
        waiting: list[Deferred[Any]] = []
        for _ in range(2):
            waiting.append(self.shared("year").addCallback(lambda _: waiting[1].cancel()))
        self.reports.running[0].callback(None)
        self.assertIsNone(self.successResultOf(waiting[0]))
        self.failureResultOf(waiting[1], CancelledError)
        self.assertEqual(self.reports.stopped, [])


class StoppingTests(Base):
    """The last waiter leaves."""

    def test_the_last_waits_for_the_end(self) -> None:
        """The wait of the last ends when the run has really stopped."""
        errand = Errand(obedient=False)
        visit = Visit(lambda request: shared_errand(errand)())
        visit.disconnect()
        self.assertEqual((errand.asked, visit.outcomes), ([""], []))
        errand.fail(CancelledError())
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_a_run_that_does_not_stop(self) -> None:
        """A run that does not stop is a survivor of the request that left last."""
        errand = Errand(obedient=False)
        visit = Visit(lambda request: shared_errand(errand)())
        visit.disconnect()
        visit.clock.advance(5)
        self.assertEqual(visit.outcome.ended, Ended.SURVIVED)
        errand.end()

    def test_a_cleanup_is_waited_for_and_not_cut(self) -> None:
        """A coroutine that waits in its `finally` is asked once, and comes to its end."""
        cleaning, cleaned = Deferred[None](), []

        async def work() -> None:
            try:
                await Deferred[None]()
            finally:
                await cleaning
                cleaned.append(True)

        last = Shared(work)()
        last.cancel()
        last.cancel()
        self.assertNoResult(last)
        cleaning.callback(None)
        self.failureResultOf(last, CancelledError)
        self.assertEqual(cleaned, [True])

    def test_a_run_that_fails_on_its_way_out(self) -> None:
        """Its failure is told to who left last, and so is logged and in the outcome."""
        errand = Errand(obedient=False)
        visit = Visit(lambda request: shared_errand(errand)())
        visit.disconnect()
        errand.fail(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(visit.outcome.ended, Ended.FAILED)

    def test_a_canceller_that_fails(self) -> None:
        """Its error, of whatever kind, is logged, and the last goes on waiting for the run."""

        class Faulty(Errand):
            error: type[BaseException] = ValueError

            def cancel(self) -> None:
                raise self.error

        for error in (ValueError, asyncio.CancelledError):
            errand = Faulty()
            errand.error = error
            last = shared_errand(errand)()
            last.cancel()
            self.assertEqual(len(self.flushLoggedErrors(error)), 1)
            self.assertNoResult(last)
            errand.end()
            self.failureResultOf(last, CancelledError)


class LingerTests(Base):
    """A run that is left alone for a while."""

    def setUp(self) -> None:
        """Two seconds."""
        super().setUp()
        self.clock = Clock()
        self.shared = Shared(self.reports, 2, clock=self.clock)

    def leave(self) -> None:
        """Ask and leave."""
        waiting = self.shared("year")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def test_stopped_after_the_seconds(self) -> None:
        """The run goes on for so long, and is then stopped."""
        self.leave()
        self.clock.advance(1.9)
        self.assertEqual(self.reports.stopped, [])
        self.clock.advance(0.1)
        self.assertEqual(self.reports.stopped, self.reports.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_newcomer_joins(self) -> None:
        """Who comes in time joins the run, which then is stopped no more."""
        self.leave()
        self.clock.advance(1)
        waiting = self.shared("year")
        self.clock.advance(10)
        self.reports.running[0].callback("a report")
        self.assertEqual(self.successResultOf(waiting), "a report")
        self.assertEqual(len(self.reports.running), 1)

    def test_the_seconds_count_anew(self) -> None:
        """When the newcomer leaves, the seconds begin again."""
        self.leave()
        self.clock.advance(1.5)
        self.leave()
        self.clock.advance(1.5)
        self.assertEqual(self.reports.stopped, [])
        self.clock.advance(0.5)
        self.assertEqual(len(self.reports.stopped), 1)

    def test_a_run_that_ends_meanwhile(self) -> None:
        """Its result is dropped, and no timer is left."""
        self.leave()
        self.reports.running[0].callback("a report")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(self.shared("year"))

    def test_a_run_that_fails_meanwhile(self) -> None:
        """Its failure, of which nobody else is told, is logged."""
        self.leave()
        self.reports.running[0].errback(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_run_that_somebody_else_cancels(self) -> None:
        """A CancelledError that is not of our making is a failure like any other."""
        self.leave()
        self.reports.running[0].cancel()
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_a_run_that_does_not_stop(self) -> None:
        """One that still runs five seconds after it was stopped is logged, once."""
        events = log_events(self)
        errand = Errand(obedient=False)
        shared = shared_errand(errand, linger=2, clock=self.clock)
        shared().addErrback(lambda _: None).cancel()
        self.clock.pump([2, 5, 5])
        (event,) = of_cancelweb(events)
        self.assertIs(event["canceller"], errand)
        errand.fail(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_run_that_takes_its_time_to_stop(self) -> None:
        """One that stops in less is not."""
        events = log_events(self)
        errand = Errand(obedient=False)
        shared = shared_errand(errand, linger=2, clock=self.clock)
        shared().addErrback(lambda _: None).cancel()
        self.clock.pump([2, 4])
        errand.end()
        self.assertEqual((self.clock.getDelayedCalls(), of_cancelweb(events)), ([], []))

    def test_one_waiter_cancels_another_on_delivery(self) -> None:
        """That is no reason to wait for anything, or to stop a run that is over."""
        waiting: list[Deferred[Any]] = []
        for _ in range(2):
            waiting.append(self.shared("year").addCallback(lambda _: waiting[1].cancel()))
        self.reports.running[0].callback(None)
        self.failureResultOf(waiting[1], CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_clock_of_the_scope(self) -> None:
        """Without a clock of its own it takes that of the scope in which the run is begun."""
        shared = Shared(self.reports, 2)
        visit = Visit(lambda request: shared())
        visit.disconnect()
        visit.clock.advance(2)
        self.assertEqual(self.reports.stopped, self.reports.running)

    def test_the_clock_outside_any_scope(self) -> None:
        """Outside any scope it takes the global reactor."""
        from twisted.internet import reactor

        before = reactor.getDelayedCalls()
        Shared(self.reports, 9)().addErrback(lambda _: None).cancel()
        (timer,) = set(reactor.getDelayedCalls()) - set(before)
        timer.reset(0)
        self.reports.running[0].callback(None)
        self.assertFalse(timer.active())


class FailureTests(Base):
    """A run fails."""

    def test_every_waiter_is_told_once(self) -> None:
        """Each request is answered with a 500, and each failure is logged once."""
        visits = [Visit(lambda request: self.shared("year")) for _ in range(10)]
        self.reports.running[0].errback(ValueError("broken"))
        self.assertEqual({visit.response.status for visit in visits}, {500})
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 10)
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_handled_failures(self) -> None:
        """Where each waiter handles its failure nothing is logged."""
        waiting = [self.shared("year") for _ in range(3)]
        self.reports.running[0].errback(ValueError())
        for each in waiting:
            self.failureResultOf(each, ValueError)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_function_that_raises(self) -> None:
        """What the function itself raises is its failure, and is forgotten."""

        def broken() -> Deferred[None]:
            raise ValueError("broken")

        shared = Shared(broken)
        for _ in range(2):
            self.failureResultOf(shared(), ValueError)

    def test_tracebacks_do_not_mix(self) -> None:
        """No waiter's exception holds the frames of another's code."""
        errors: list[BaseException] = []

        async def work() -> None:
            await self.reports()

        shared = Shared(work)

        async def waiter(number: int) -> None:
            try:
                await shared()
            except ValueError as error:
                errors.append(error)

        for number in range(3):
            Deferred.fromCoroutine(waiter(number))
        self.reports.running[0].errback(ValueError("broken"))
        self.assertEqual(len(set(errors)), 3)
        for error in errors:
            self.assertEqual(error.args, ("broken",))
            names = [frame.f_code.co_name for frame in frames_of(error)]
            self.assertEqual(names.count("waiter"), 1)
            # Twisted before 24.10 drops the frames of a failure on its way.
            self.assertLessEqual(names.count("work"), 1)

    def test_what_an_exception_came_from(self) -> None:
        """Copies keep cause and context."""
        waiting = [self.shared("year") for _ in range(2)]
        cause = KeyError()
        try:
            raise ValueError("broken") from cause
        except ValueError:
            self.reports.running[0].errback(Failure())
        for each in waiting:
            error = self.failureResultOf(each, ValueError).value
            self.assertIs(error.__cause__, cause)
            self.assertTrue(error.__suppress_context__)

    def test_an_exception_that_cannot_be_copied(self) -> None:
        """It is told to all as it is."""

        class OddError(Exception):
            def __init__(self, one: int, two: int) -> None:
                super().__init__()

        waiting = [self.shared("year") for _ in range(2)]
        self.reports.running[0].errback(OddError(1, 2))
        first, second = (self.failureResultOf(each, OddError).value for each in waiting)
        self.assertIs(first, second)


def frames_of(error: BaseException) -> list[Any]:
    """The frames of an exception's traceback."""
    found, traceback = [], error.__traceback__
    while traceback is not None:
        found.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return found


class ContextTests(SynchronousTestCase):
    """Whose context variables are seen where."""

    def test_of_the_run(self) -> None:
        """A run sees nobody's variables, and there is no current scope in it."""
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
        self.assertEqual(seen, ["nobody's"])

    def test_of_a_run_that_is_stopped(self) -> None:
        """The canceller of a run is called in nobody's context either."""
        seen: list[str] = []
        report: Deferred[Any] = Deferred(lambda _: seen.append(variable.get()))
        shared = Shared[[], Any](lambda: report)

        def handler(request: object) -> Deferred[Any]:
            variable.set("mine")
            return shared()

        Visit(handler).disconnect()
        variable.set("nobody's")
        self.assertEqual(seen, ["nobody's"])

    def test_of_the_waiters(self) -> None:
        """Each waiter's callbacks see his own variables, not those of the run or of others."""
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
        variable.set("nobody's")
        report.callback(None)
        self.assertEqual(seen, ["first", "second"])
        self.assertEqual(variable.get(), "nobody's")


class KindTests(SynchronousTestCase):
    """The functions that can be shared."""

    def test_functions(self) -> None:
        """Coroutine functions, generators with `inlineCallbacks`, and functions are shared."""
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
        """A function whose result needs no waiting gives it to who has asked."""
        seven: Any = lambda: 7  # noqa: E731
        shared: Shared[[], int] = Shared(seven)
        self.assertEqual(self.successResultOf(shared()), 7)

    def test_methods(self) -> None:
        """A method is shared by the callers of one instance."""
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
        """It has the name, the docstring and the original of its function."""

        async def load(number: int) -> int:
            """Load it."""
            return number

        shared = Shared(load)
        self.assertEqual((shared.__doc__, vars(shared)["__wrapped__"]), ("Load it.", load))
        shared(7)
        self.assertRegex(repr(shared), r"^<Shared .*load, 0 running>$")

    def test_an_argument_without_a_hash(self) -> None:
        """It is a TypeError at the call."""
        with self.assertRaisesRegex(TypeError, "load is shared .* must be hashable.*'list'"):
            Shared(load)([])

    def test_wrong_options(self) -> None:
        """They are errors when they are given."""
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


class MemoryTests(SynchronousTestCase):
    """Nothing is kept."""

    def forgets(self, end: Callable[[Deferred[None], Deferred[None]], object]) -> None:
        """When this has ended the run or left it, nothing holds its argument."""
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
        """Neither results, failures nor those who leave are left to the cycle collector."""
        errands: list[Errand] = []

        def work() -> Any:
            errands.append(Errand())
            return errands[-1]

        clients = [Client(Leaf(cancel_on_disconnect(lambda _: called()))) for _ in range(4)]
        called: Any = None
        with no_cycles(self):
            called = Shared(work)
            for end in b"page", Failure(ValueError()), None:
                for client in clients:
                    client.request()
                if end is None:
                    for client in clients:
                        client.disconnect()
                errands.pop().end(end)
            end = called = None
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 4)

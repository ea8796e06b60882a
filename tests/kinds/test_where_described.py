"""What logs and reports say of each kind of work: what it is, and where it waits.

What belongs here: `describe` and `where` of each canceller. What does not: the chain of awaits of a
coroutine (`test_where`), and what users' cancellers tell (`test_cancellers_details`).
"""

import asyncio
from collections.abc import Generator
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, gatherResults, inlineCallbacks
from twisted.internet.task import Clock, Cooperator, LoopingCall, deferLater
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import CancellingResource
from cancelweb._kinds.registry import canceller_for
from cancelweb._kinds.where import Place, named, place
from cancelweb._twisted import drivers
from cancelweb.monitor import where_it_waits

from .._pages import Page
from .._visits import connect
from ..scopes._survivors import ReportTestCase, line_of
from ..stoppable.test_processes_tracked import Foreign
from ._leaves import awaiting, coroutine, fired_on, gathered, yielding
from .test_timers import ForeignCall


class Report:
    """Has functions that can be called later."""

    def answer(self, body: object = None) -> None:
        """Such a function."""

    def __call__(self) -> None:
        """May be called itself."""


ANSWER = f"Report.answer at {__file__}:{Report.answer.__code__.co_firstlineno}"


class TimerTests(SynchronousTestCase):
    """Timers and loops."""

    def setUp(self) -> None:
        self.clock = Clock()

    def test_timer(self) -> None:
        """A timer tells its function, and when it is due; watched or not."""
        call: Any = self.clock.callLater(4, Report().answer)
        canceller = canceller_for(call)
        self.assertEqual(canceller.where(), f"timer: {ANSWER}, due in 4.0 s")
        canceller.watch(lambda _: None)
        self.clock.advance(1)
        self.assertEqual(canceller.where(), f"timer: {ANSWER}, due in 3.0 s")
        self.assertEqual(canceller.describe(), "timer Report.answer")

    def test_timer_that_is_over(self) -> None:
        """Once it has run it says so."""
        canceller = canceller_for(self.clock.callLater(4, partial(Report().answer, b"page")))
        canceller.watch(lambda _: None)
        self.clock.advance(4)
        self.assertEqual(canceller.where(), f"timer: {ANSWER}, over")
        self.assertEqual(canceller.describe(), "timer Report.answer")

    def test_timer_that_was_cancelled(self) -> None:
        """Twisted's timers forget their function when they are cancelled; a canceller does not."""
        call: Any = self.clock.callLater(4, Report().answer)
        canceller = canceller_for(call)
        canceller.watch(lambda _: None)
        canceller.cancel()
        self.assertEqual(canceller.where(), f"timer: {ANSWER}, over")
        self.assertIn("timer <", canceller_for(call).describe())

    def test_timer_without_code(self) -> None:
        """Of what has no line, the name is told; of what has no name, the class."""
        canceller = canceller_for(self.clock.callLater(4, [].append, 1))
        self.assertEqual(canceller.where(), "timer: list.append, due in 4.0 s")
        canceller = canceller_for(self.clock.callLater(4, Report()))
        self.assertEqual(
            canceller.where(), "timer: tests.kinds.test_where_described.Report, due in 4.0 s"
        )

    def test_timer_of_another_make(self) -> None:
        """What does not tell its function tells when it is due, on the scope's clock."""
        call = ForeignCall(self.clock.callLater(4, Report().answer))
        canceller = canceller_for(call)
        canceller.clock = self.clock
        self.assertEqual(canceller.where(), f"timer: {call!r}, due in 4.0 s")
        self.assertEqual(canceller.describe(), f"timer {call!r}")

    def test_loop(self) -> None:
        """A loop tells its function and its interval, if it has one."""
        loop = LoopingCall(Report().answer)
        loop.clock = self.clock
        loop.start(5, now=False).addErrback(lambda _: None)
        canceller = canceller_for(loop)
        self.assertEqual(canceller.where(), f"loop: {ANSWER}, every 5 s")
        self.assertEqual(canceller.describe(), "loop Report.answer")
        loop.stop()
        loop.interval = None
        self.assertEqual(canceller.where(), f"loop: {ANSWER}")


class OtherKindTests(SynchronousTestCase):
    """Processes, tasks and futures."""

    def test_process(self) -> None:
        """A process tells its id, as long as it has one."""
        process: Any = Foreign()
        canceller = canceller_for(process)
        self.assertEqual(canceller.where(), f"process {process.pid}")
        process.pid = None
        self.assertEqual(canceller.describe(), "process that has ended")

    def test_cooperative_task(self) -> None:
        """A cooperative task tells the line that its generator has reached."""

        def steps() -> Generator[Deferred[None], None, None]:
            yield Deferred()

        clock = Clock()
        task = Cooperator(scheduler=lambda call: clock.callLater(0, call)).cooperate(steps())
        clock.advance(0)
        canceller = canceller_for(task)
        self.assertEqual(canceller.where(), line_of(steps, 1))
        self.assertEqual(canceller.describe(), "cooperative task")

    def test_cooperative_task_of_an_iterator(self) -> None:
        """Of another iterator no line can be told."""
        clock = Clock()
        cooperator = Cooperator(scheduler=lambda call: clock.callLater(0, call))
        canceller = canceller_for(cooperator.cooperate(iter([None])))
        self.assertEqual(canceller.where(), "cooperative task")

    def test_asyncio_future(self) -> None:
        """An asyncio future is told by its repr."""

        async def main() -> None:
            future = asyncio.get_running_loop().create_future()
            self.assertEqual(canceller_for(future).where(), repr(future))

        asyncio.run(main())


class DeferredTests(SynchronousTestCase):
    """Deferreds, alone and with what is behind them."""

    def where(self, work: object) -> list[str]:
        """Where it waits, line by line."""
        return canceller_for(work).where().splitlines()

    def test_plain(self) -> None:
        """One that stands alone tells what would cancel it."""
        self.assertEqual(self.where(Deferred()), ["Deferred without a canceller"])
        plain: Deferred[None] = Deferred(Report().answer)
        self.assertEqual(self.where(fired_on(plain)), [f"Deferred that is cancelled by {ANSWER}"])
        (line,) = self.where(deferLater(Clock(), 1))
        self.assertRegex(
            line, r"^Deferred that is cancelled by deferLater\.\S+ at \S+task\.py:\d+$"
        )

    def test_coroutine_behind_it(self) -> None:
        """A coroutine or generator that Twisted runs tells its line."""
        wait: Deferred[None] = Deferred()
        self.assertEqual(self.where(coroutine(wait)), [line_of(awaiting, 2)])
        generator = yielding.__wrapped__  # type: ignore[attr-defined]
        self.assertEqual(self.where(fired_on(yielding(wait))), [line_of(generator, 3)])

    def test_chain_of_both(self) -> None:
        """Generators that wait for coroutines, and the other way round, are followed."""

        def parts() -> Generator[Any, Any, None]:
            yield coroutine(gathered(coroutine(Deferred())))

        @inlineCallbacks
        def outer() -> Generator[Any, Any, None]:
            yield from parts()

        generator = outer.__wrapped__  # type: ignore[attr-defined]
        expected = [line_of(generator, 2), line_of(parts, 1), *[line_of(awaiting, 2)] * 2]
        self.assertEqual(self.where(awaiting(outer())), [line_of(awaiting, 2), *expected])

    def test_list(self) -> None:
        """Of a list the first that still runs is told, and how many there are."""
        done: Deferred[None] = Deferred()
        done.callback(None)
        members = [done, Deferred[None](), coroutine(Deferred())]
        plain = ["the first of 2 in a DeferredList", "Deferred without a canceller"]
        self.assertEqual(self.where(gatherResults(members)), plain)
        self.assertEqual(self.where(DeferredList(members[2:])), [line_of(awaiting, 2)])
        handler = awaiting(gatherResults(members))
        self.assertEqual(self.where(handler), [line_of(awaiting, 2), *plain])

    def test_place(self) -> None:
        """A place that was noted along the way is told, and the search ends there."""
        wait = place(coroutine(Deferred()), Place("thread 7"))
        self.assertEqual(self.where(fired_on(wait)), ["thread 7"])

    def test_long_chain(self) -> None:
        """A chain of 100,000 is followed to its end."""
        chain: Deferred[Any] = Deferred()
        for _ in range(100_000):
            chain = fired_on(chain)
        self.assertEqual(self.where(chain), ["Deferred without a canceller"])

    def test_circle(self) -> None:
        """Coroutines that wait for each other are told once each."""
        begun: Deferred[None] = Deferred()
        works: list[Deferred[None]] = []

        async def waiting(other: int) -> None:
            await begun
            await works[other]

        works += [Deferred.fromCoroutine(waiting(1)), Deferred.fromCoroutine(waiting(0))]
        begun.callback(None)
        self.assertEqual(self.where(works[0]), [line_of(waiting, 2)] * 2)

    def test_no_callbacks(self) -> None:
        """Without the private name of the callbacks, what a coroutine waits for is told."""
        self.patch(drivers, "callbacks_of", lambda _: ())
        wait = place(Deferred[None](), Place("thread 7"))
        self.assertEqual(self.where(coroutine(wait)), ["thread 7"])

    def test_description(self) -> None:
        """It is called by its class, a coroutine by its name."""
        self.assertEqual(canceller_for(Deferred()).describe(), "Deferred")
        self.assertEqual(canceller_for(awaiting(Deferred())).describe(), "coroutine awaiting")


class NameTests(SynchronousTestCase):
    """How other things are called."""

    def test_repr(self) -> None:
        """By a repr that tells something, on one line and without control characters."""
        self.assertEqual(named([1]), "[1]")

        class Told:
            def __repr__(self) -> str:
                return "job\n\x1b[2J"

        self.assertEqual(named(Told()), "job\\n\\x1b[2J")

    def test_address(self) -> None:
        """Not by an address, but by the repr of another, or else by the class."""
        self.assertEqual(named(Report()), "tests.kinds.test_where_described.Report")
        self.assertEqual(named(Report(), [1]), "[1]")
        self.assertEqual(named(Report(), Report()), "tests.kinds.test_where_described.Report")


class ReportTests(ReportTestCase):
    """What the log and the status page show."""

    def test_of_a_timer(self) -> None:
        """The status page has the function of a timer, and when it is due."""
        root = CancellingResource(
            Page(lambda _: self.clock.callLater(3, Report().answer)), monitor=self.monitor
        )
        connection = connect(root, self.clock)
        connection.get()
        told = where_it_waits(self.monitor.scopes[0])
        self.assertEqual(told, f"timer: {ANSWER}, due in 3.0 s")
        connection.disconnect()

    def test_of_a_coroutine(self) -> None:
        """The log calls a survivor by the name of its coroutine, and has its line."""
        wait: Deferred[None] = Deferred(lambda deferred: deferred.pause())

        async def handler(request: Request) -> None:
            await wait

        (event,) = self.leave(handler)
        self.assertEqual(
            formatEvent(event),
            f"coroutine {handler.__qualname__} of GET / still runs 5 s after it was asked to stop, "
            f"and waits at {line_of(handler, 1)}",
        )
        wait.unpause()

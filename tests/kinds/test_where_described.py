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
    """An object whose functions can be called later."""

    def answer(self, body: object = None) -> None:
        """A function that can be called later."""

    def __call__(self) -> None:
        """An object that can be called itself."""


ANSWER = f"Report.answer at {__file__}:{Report.answer.__code__.co_firstlineno}"


class TimerTests(SynchronousTestCase):
    """What timers and loops tell."""

    def setUp(self) -> None:
        self.clock = Clock()

    def test_timer(self) -> None:
        """A timer tells its function, and when it is due, whether it is watched or not."""
        call: Any = self.clock.callLater(4, Report().answer)
        canceller = canceller_for(call)
        self.assertEqual(canceller.where(), f"timer: {ANSWER}, due in 4.0 s")
        canceller.watch(lambda _: None)
        self.clock.advance(1)
        self.assertEqual(canceller.where(), f"timer: {ANSWER}, due in 3.0 s")
        self.assertEqual(canceller.describe(), "timer Report.answer")

    def test_timer_that_is_over(self) -> None:
        """A timer that has run tells its function, and that it is over."""
        canceller = canceller_for(self.clock.callLater(4, partial(Report().answer, b"page")))
        canceller.watch(lambda _: None)
        self.clock.advance(4)
        self.assertEqual(canceller.where(), f"timer: {ANSWER}, over")
        self.assertEqual(canceller.describe(), "timer Report.answer")

    def test_timer_that_was_cancelled(self) -> None:
        """A timer that its canceller has cancelled still tells its function."""
        call: Any = self.clock.callLater(4, Report().answer)
        canceller = canceller_for(call)
        canceller.watch(lambda _: None)
        canceller.cancel()
        self.assertEqual(canceller.where(), f"timer: {ANSWER}, over")
        self.assertIn("timer <", canceller_for(call).describe())

    def test_timer_without_code(self) -> None:
        """A timer tells the name of a function without a line, or the class of an object."""
        canceller = canceller_for(self.clock.callLater(4, [].append, 1))
        self.assertEqual(canceller.where(), "timer: list.append, due in 4.0 s")
        canceller = canceller_for(self.clock.callLater(4, Report()))
        self.assertEqual(
            canceller.where(), "timer: tests.kinds.test_where_described.Report, due in 4.0 s"
        )

    def test_timer_of_another_make(self) -> None:
        """A timer that does not tell its function tells when it is due, on the scope's clock."""
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
    """What processes, tasks and futures tell."""

    def test_process(self) -> None:
        """A process tells its id, or that it has ended."""
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
        """A cooperative task of an iterator that is not a generator tells no line."""
        clock = Clock()
        cooperator = Cooperator(scheduler=lambda call: clock.callLater(0, call))
        canceller = canceller_for(cooperator.cooperate(iter([None])))
        self.assertEqual(canceller.where(), "cooperative task")

    def test_asyncio_future(self) -> None:
        """An asyncio future tells its repr."""

        async def main() -> None:
            future = asyncio.get_running_loop().create_future()
            self.assertEqual(canceller_for(future).where(), repr(future))

        asyncio.run(main())


class DeferredTests(SynchronousTestCase):
    """What Deferreds tell, alone and with what is behind them."""

    def where(self, work: object) -> list[str]:
        """Where the work waits, line by line."""
        return canceller_for(work).where().splitlines()

    def test_plain(self) -> None:
        """A Deferred that waits for no other tells what would cancel it."""
        self.assertEqual(self.where(Deferred()), ["Deferred without a canceller"])
        plain: Deferred[None] = Deferred(Report().answer)
        self.assertEqual(self.where(fired_on(plain)), [f"Deferred that is cancelled by {ANSWER}"])
        later = ["Deferred that is cancelled by twisted.internet.task.deferLater"]
        self.assertEqual(self.where(deferLater(Clock(), 1)), later)

    def test_coroutine_behind_it(self) -> None:
        """A Deferred of a coroutine or generator tells the line where that waits."""
        wait: Deferred[None] = Deferred()
        self.assertEqual(self.where(coroutine(wait)), [line_of(awaiting, 2)])
        generator = yielding.__wrapped__  # type: ignore[attr-defined]
        self.assertEqual(self.where(fired_on(yielding(wait))), [line_of(generator, 3)])

    def test_chain_of_both(self) -> None:
        """A coroutine tells the lines of generators and coroutines that it waits for in turn."""

        def parts() -> Generator[Any, Any, None]:
            yield coroutine(gathered(coroutine(Deferred())))

        @inlineCallbacks
        def outer() -> Generator[Any, Any, None]:
            yield from parts()

        generator = outer.__wrapped__  # type: ignore[attr-defined]
        expected = [line_of(generator, 2), line_of(parts, 1), *[line_of(awaiting, 2)] * 2]
        self.assertEqual(self.where(awaiting(outer())), [line_of(awaiting, 2), *expected])

    def test_list(self) -> None:
        """A list tells its first member that still runs, and how many members still run."""
        done: Deferred[None] = Deferred()
        done.callback(None)
        members = [done, Deferred[None](), coroutine(Deferred())]
        plain = ["the first of 2 in a DeferredList", "Deferred without a canceller"]
        self.assertEqual(self.where(gatherResults(members)), plain)
        self.assertEqual(self.where(DeferredList(members[2:])), [line_of(awaiting, 2)])
        handler = awaiting(gatherResults(members))
        self.assertEqual(self.where(handler), [line_of(awaiting, 2), *plain])

    def test_place(self) -> None:
        """A Deferred with a noted place tells that, and not what is behind it."""
        wait = place(coroutine(Deferred()), Place("thread 7"))
        self.assertEqual(self.where(fired_on(wait)), ["thread 7"])

    def test_long_chain(self) -> None:
        """A chain of 100,000 Deferreds tells where its last one waits."""
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
        """Without the private name of callbacks, what a coroutine waits for is told."""
        self.patch(drivers, "callbacks_of", lambda _: ())
        wait = place(Deferred[None](), Place("thread 7"))
        self.assertEqual(self.where(coroutine(wait)), ["thread 7"])

    def test_description(self) -> None:
        """A Deferred is described by its class, and a coroutine by its name."""
        self.assertEqual(canceller_for(Deferred()).describe(), "Deferred")
        self.assertEqual(canceller_for(awaiting(Deferred())).describe(), "coroutine awaiting")


class NameTests(SynchronousTestCase):
    """How other objects are named."""

    def test_repr(self) -> None:
        """An object is named by its repr, on one line and without control characters."""
        self.assertEqual(named([1]), "[1]")

        class Told:
            def __repr__(self) -> str:
                return "job\n\x1b[2J"

        self.assertEqual(named(Told()), "job\\n\\x1b[2J")

    def test_address(self) -> None:
        """An object whose repr has only its address is named by another's repr, or by its class."""
        self.assertEqual(named(Report()), "tests.kinds.test_where_described.Report")
        self.assertEqual(named(Report(), [1]), "[1]")
        self.assertEqual(named(Report(), Report()), "tests.kinds.test_where_described.Report")


class ReportTests(ReportTestCase):
    """What the log and the status page say about where work waits."""

    def test_of_a_timer(self) -> None:
        """`where_it_waits` of a request that returned a timer tells its function and its time."""
        root = CancellingResource(
            Page(lambda _: self.clock.callLater(3, Report().answer)), monitor=self.monitor
        )
        connection = connect(root, self.clock)
        connection.get()
        told = where_it_waits(self.monitor.scopes[0])
        self.assertEqual(told, f"timer: {ANSWER}, due in 3.0 s")
        connection.disconnect()

    def test_of_a_coroutine(self) -> None:
        """The log names a surviving coroutine, and tells the line where it waits."""
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

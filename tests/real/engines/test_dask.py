"""Calls on a Dask cluster, with a synchronous client: stopped when no worker runs them any more.

What belongs here: one request at a time. What does not: futures that several requests want, which
have `test_dask_shared`, and lost machines, which have `test_dask_lost`.
"""

import signal
from collections.abc import Callable
from typing import Any

from dask.delayed import delayed
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.web.server import Request

from cancelweb import (
    CancellingResource,
    Ended,
    ICancellable,
    Outcome,
    StartRefused,
    Unavailable,
    cancel_on_disconnect,
    cleaning,
    current_scope,
)
from cancelweb._engines import dask_cluster
from cancelweb._kinds.where import lines_of
from cancelweb.dask import result
from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from ..._cycles import no_cycles
from ..._pages import PAGE, GetPage, Handler
from ..._visits import connect
from ._dask import DaskTestCase, reactor
from ._dask_tasks import (
    LONGEST,
    ROUND,
    Marks,
    add,
    double,
    fail,
    looks,
    looks_seceded,
    looks_too,
    never_looks,
)

STORM = 50


class CallTests(DaskTestCase):
    """Calls without a scope."""

    async def test_result(self) -> None:
        """A call fires with what the function returned on a worker."""
        self.assertEqual(await self.calls.run(double, 7), 14)

    async def test_options(self) -> None:
        """Keyword arguments go to the function, or are options of Client.submit."""
        call = self.calls.run(double, number=4, key="eight")
        self.assertEqual(list(lines_of(call)), ["Dask task eight"])
        self.assertEqual(await call, 8)

    async def test_failure(self) -> None:
        """A call fails with what the function raised, and the traceback leads to the function."""
        call = self.calls.run(fail, "oh")
        failures: list[Any] = []
        await call.addErrback(failures.append)
        self.assertEqual(failures[0].value.args, ("oh",))
        self.assertIn("raise KeyError(message)", failures[0].getTraceback())

    async def test_cannot_be_sent(self) -> None:
        """A call whose arguments cannot be sent fails with Dask's exception."""
        with self.assertRaises(TypeError):
            await self.calls.run(double, self.client.loop)

    async def test_looks(self) -> None:
        """A cancelled call whose function looks fires when the function has ended."""
        for function in looks, looks_too, looks_seceded:
            marks = self.marks(function.__name__)
            call: Deferred[Any] = self.calls.run(function, marks)
            await marks.until("begun")
            call.cancel()
            await self.assert_cancelled(call)
            self.assertTrue(marks.has("ended"), function)

    async def test_never_looks(self) -> None:
        """A cancelled call whose function never looks fires when the function ends, not sooner."""
        marks, other = self.marks(), self.marks("other")
        call, looking = self.calls.run(never_looks, marks), self.calls.run(looks, other)
        await marks.until("begun")
        await other.until("begun")
        call.cancel()
        call.cancel()
        while " on " not in "".join(lines_of(call)):
            await deferLater(reactor, ROUND)
        looking.cancel()
        await self.assert_cancelled(looking)
        self.assertNoResult(call)
        [line] = lines_of(call)
        self.assertRegex(line, r"Dask task never_looks-\w+ on tcp://127.0.0.1:\d+$")
        marks.note("go")
        await self.assert_cancelled(call)
        self.assertTrue(marks.has("ended"))

    async def test_queued(self) -> None:
        """Cancelled calls that have not begun fire while others still run, and never begin."""
        fillers, filling = self.fill()
        for each in fillers:
            await each.until("begun")
        queued = [self.marks(f"queued-{n}") for n in range(20)]
        calls = [self.calls.run(looks, each) for each in queued]
        await deferLater(reactor, 10 * ROUND)
        for call in calls:
            call.cancel()
        for call in calls:
            await self.assert_cancelled(call)
        self.assertEqual([each for each in filling if each.called], [])
        for each in fillers:
            each.note("go")
        await gatherResults(filling)
        await gatherResults([self.calls.run(add, n, 1) for n in range(4)])
        self.assertEqual([each for each in queued if each.has("begun")], [])

    async def test_at_once(self) -> None:
        """A call that is cancelled in the same turn never begins, or has ended when it fires."""
        for n in range(20):
            marks = self.marks(str(n))
            call = self.calls.run(looks, marks)
            call.cancel()
            await self.assert_cancelled(call)
            self.assertEqual(marks.has("begun"), marks.has("ended"))

    async def test_storm(self) -> None:
        """When many leave at once, each process gets a few questions, not one for each call."""
        marks = [self.marks(str(n)) for n in range(STORM)]
        calls = [self.calls.run(looks, each) for each in marks]
        await marks[0].until("begun")
        before = self.cluster.log.count("out-of-band")
        for call in calls:
            call.cancel()
        for call in calls:
            await self.assert_cancelled(call)
        self.assertEqual([each for each in marks if each.has("begun") != each.has("ended")], [])
        # Of three processes.
        self.assertLess(self.cluster.log.count("out-of-band") - before, STORM)

    async def test_graph(self) -> None:
        """A cancelled future fires no sooner than the tasks that it depends on have ended."""
        marks = self.marks()
        below = delayed(never_looks, pure=False)(marks)
        future = self.client.compute(delayed(double)(below))
        waiting = result(future)
        await marks.until("begun")
        waiting.cancel()
        other = self.calls.run(looks, self.marks("other"))
        other.cancel()
        await self.assert_cancelled(other)
        self.assertNoResult(waiting)
        marks.note("go")
        await self.assert_cancelled(waiting)

    async def test_several(self) -> None:
        """A cancelled call that depends on several others fires when all of these have ended."""
        marks = [self.marks(str(n)) for n in range(3)]
        call = self.calls.run(len, self.client.map(looks, marks))
        for each in marks:
            await each.until("begun")
        call.cancel()
        await self.assert_cancelled(call)
        self.assertEqual([each for each in marks if not each.has("ended")], [])

    async def test_collection(self) -> None:
        """A future with a tuple for a key, as collections have them, is waited for and stopped."""
        marks = self.marks()
        future = self.client.submit(looks, marks, key=("looks", 0))
        waiting = result(future)
        await marks.until("begun")
        waiting.cancel()
        await self.assert_cancelled(waiting)
        self.assertTrue(marks.has("ended"))

    async def test_done(self) -> None:
        """The result of a future that is done arrives; a cancel that comes later does nothing."""
        future = self.client.submit(double, 1)
        self.assertEqual(await result(future), 2)
        waiting = result(future)
        self.assertEqual(await waiting, 2)
        waiting.cancel()
        self.assertEqual(future.status, "finished")

    async def test_cancelled_when_done(self) -> None:
        """A cancelled wait for a future that is done fires at once, and releases it."""
        future = self.client.submit(double, 1)
        await result(future)
        waiting = result(future)
        waiting.cancel()
        await self.assert_cancelled(waiting)
        await self.assert_idle()

    async def test_cancelled_when_the_result_is_here(self) -> None:
        """A wait that is cancelled before the reactor passes the result on gets no result."""
        future = self.client.submit(double, 1)
        await result(future)
        waiting = result(future)
        # The reactor does not turn meanwhile, and Dask fetches the other result first.
        for _ in range(3):
            self.client.gather(future)
        waiting.cancel()
        await self.assert_cancelled(waiting)
        await self.assert_idle()

    async def test_cancelled_by_others(self) -> None:
        """A future that other code cancels fails with the exception of Dask."""
        marks = self.marks()
        future = self.client.submit(looks, marks)
        waiting = result(future)
        await marks.until("begun")
        self.client.cancel([future])
        with self.assertRaisesRegex(Exception, "cancelled"):
            await waiting

    async def test_never_blocks(self) -> None:
        """Starting and giving up calls does not wait for a scheduler that does not answer."""
        marks = self.marks()
        running = self.calls.run(looks, marks)
        await marks.until("begun")
        self.cluster.scheduler.send_signal(signal.SIGSTOP)
        self.addCleanup(self.cluster.scheduler.send_signal, signal.SIGCONT)
        # Any of these would wait forever.
        call = self.calls.run(double, 3)
        running.cancel()
        await deferLater(reactor, 10 * ROUND)
        self.assertNoResult(running)
        self.cluster.scheduler.send_signal(signal.SIGCONT)
        self.assertEqual(await call, 6)
        await self.assert_cancelled(running)

    async def test_client_is_closed(self) -> None:
        """Closing the client ends all waits with Unavailable, those of given-up calls too."""
        marks = self.marks(), self.marks("other")
        calls = [self.calls.run(never_looks, each) for each in marks]
        for each in marks:
            await each.until("begun")
        # The client is closed between two questions.
        self.patch(dask_cluster, "FIRST_PAUSE", LONGEST)
        calls[0].cancel()
        while " on " not in "".join(lines_of(calls[0])):
            await deferLater(reactor, ROUND)
        self.client.close()
        for call in calls:
            with self.assertRaisesRegex(Unavailable, "the client is (being )?closed"):
                await call
        with self.assertRaisesRegex(Unavailable, "the client is closed: make a new one"):
            await self.calls.run(double, 1)

    async def test_closed_before(self) -> None:
        """A wait for a future of a closed client fails at once, and cancelling it does nothing."""
        future = self.client.submit(double, 1)
        self.client.close()
        waiting = result(future)
        waiting.cancel()
        with self.assertRaisesRegex(Unavailable, "the client is closed: make a new one"):
            await waiting

    async def test_no_cycles(self) -> None:
        """The cycle collector finds nothing after a result, an error and a cancel."""
        marks, ends = self.marks(), list[object]()
        with no_cycles(self):
            # Python itself makes a cycle of an error that a coroutine catches, so none is awaited.
            self.calls.run(double, 1).addBoth(ends.append)
            self.calls.run(fail, "oh").addBoth(ends.append)
            call = self.calls.run(looks, marks).addBoth(ends.append)
            await marks.until("begun")
            call.cancel()
            del call
            while len(ends) < 3:
                await deferLater(reactor, ROUND)
            ends.clear()

    async def test_canceller(self) -> None:
        """The canceller of a future may be asked again, also when the future is done."""
        marks = self.marks()
        future = self.client.submit(looks, marks)
        canceller: Any = ICancellable(future)
        self.assertEqual(canceller.describe(), f"Dask task {future.key}")
        settled = canceller.when_settled()
        await marks.until("begun")
        canceller.cancel()
        canceller.cancel()
        await self.assert_cancelled(settled)
        canceller.cancel()
        self.assertEqual(marks.pids("begun"), marks.pids("ended"))

    async def test_released(self) -> None:
        """What a call has computed is released when the call has fired, whatever holds the call."""
        call = self.calls.run(double, 1)
        await call
        await self.assert_idle()
        self.assertTrue(call.called)


class HandlerTests(DaskTestCase):
    """Handlers that use futures, and clients that leave."""

    def serve(self, handler: Handler, **options: Any) -> Connection:
        """A client of a page, which has asked for it; `closed` fires with the outcome."""
        self.closed: Deferred[Outcome] = Deferred()
        observe = self.closed.callback
        page = CancellingResource(GetPage(handler), observers=observe, clock=reactor, **options)
        connection = connect(page, Clock())
        connection.get()
        return connection

    async def assert_stopped(self, handler: Handler, marks: Marks) -> None:
        """A client leaves when a task has begun; the request's work stops, and the task has."""
        connection = self.serve(handler)
        await marks.until("begun")
        connection.disconnect()
        self.assertEqual((await self.closed).ended, Ended.STOPPED)
        self.assertTrue(marks.has("ended"))

    async def test_awaited(self) -> None:
        """When the client leaves, the scope closes once the awaited call has ended."""
        marks = self.marks()

        async def handler(_: Request) -> bytes:
            await self.calls.run(looks, marks)
            return PAGE

        await self.assert_stopped(handler, marks)

    async def test_returned(self) -> None:
        """A handler may return a future, whose result answers the request."""
        marks = self.marks()
        marks.note("go")
        decorate: Any = cancel_on_disconnect
        connection = self.serve(decorate(lambda _: self.client.submit(looks, marks, PAGE)))
        self.assertEqual((await self.closed).ended, Ended.COMPLETED)
        self.assertEqual(connection.response.body, PAGE)

    async def test_tracked(self) -> None:
        """A tracked future is stopped when the client leaves."""
        marks = self.marks()

        async def handler(_: Request) -> bytes:
            current_scope().track(self.client.submit(looks, marks))
            await Deferred()
            return PAGE

        await self.assert_stopped(handler, marks)

    async def test_survivor(self) -> None:
        """A task that never looks is reported as a survivor, with its worker, until it ends."""
        marks, monitor = self.marks(), Monitor(reactor)

        async def handler(_: Request) -> bytes:
            current_scope().track(self.client.submit(never_looks, marks))
            await Deferred()
            return PAGE

        connection = self.serve(handler, monitor=monitor, survivor_after=0.5)
        await marks.until("begun")
        connection.disconnect()
        self.assertEqual((await self.closed).ended, Ended.SURVIVED)
        [survivor] = monitor.survivors
        self.assertRegex(survivor.where, r"Dask task never_looks-\w+ on tcp://")
        marks.note("go")
        while monitor.survivors:
            await deferLater(reactor, ROUND)
        self.assertTrue(marks.has("ended"))

    async def test_lost(self) -> None:
        """A handler whose client of Dask has lost its scheduler is answered 503."""
        self.client.close()

        async def handler(_: Request) -> bytes:
            await self.calls.run(double, 1)
            return PAGE

        decorate: Any = cancel_on_disconnect
        connection = self.serve(decorate(handler))
        self.assertEqual((await self.closed).ended, Ended.FAILED)
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(len(self.flushLoggedErrors(Unavailable)), 1)

    async def test_starts_nothing(self) -> None:
        """A handler that tries again after its client has left starts nothing more."""
        marks, errors = self.marks(), list[BaseException]()

        async def handler(_: Request) -> bytes:
            try:
                await self.try_forever(lambda: self.calls.run(looks, marks), errors)
            except BaseException as error:
                errors.append(error)
            with cleaning():
                await self.calls.run(double, 1)
            await self.try_forever(lambda: result(self.client.submit(double, 1)), errors)
            return PAGE

        connection = self.serve(handler)
        await marks.until("begun")
        connection.disconnect()
        await self.closed
        self.assertEqual([type(each) for each in errors], [CancelledError, StartRefused])
        self.assertIn("a Dask task was not started", str(errors[1]))
        self.assertEqual(marks.pids("begun"), marks.pids("ended"))
        self.assertEqual(len(marks.pids("begun")), 1)

    async def try_forever(self, wait: Callable[[], Any], errors: list[BaseException]) -> None:
        """Wait for a result, and try again after each ordinary error."""
        while True:
            try:
                await wait()
            except Exception as error:
                errors.append(error)

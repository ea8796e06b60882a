"""Celery's servers that are lost: the broker and the result backend, and workers.

What belongs here: Redis that ends and comes back, and workers that are killed or do not run. What
does not: tasks that are stopped while all servers live, which `test_celery_stopped` has.
"""

from functools import partial
from signal import SIGCONT, SIGSTOP

from celery.contrib.abortable import ABORTED
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, formatEvent
from twisted.python.failure import Failure

from cancelweb import Ended, Unavailable
from cancelweb._engines.celery_call import Call
from cancelweb._engines.celery_calls import CallsUnderWay
from cancelweb._engines.celery_leaving import Leaving
from cancelweb.celery import Calls, Lost

from ..._logs import log_events, of_cancelweb
from ..._loopback import reserve_port
from ..._servers import reactor
from ._tasks import make_app
from ._worker import CeleryTestCase, call_id, place_of, seconds_until, until, visited

AT_ONCE = 1
"""Seconds in which a lost server must be a failure. Celery by itself tries again for 19."""


class BrokerTests(CeleryTestCase):
    """A Redis that ends, and comes back."""

    async def test_request(self) -> None:
        """A request whose task cannot be sent is answered 503 at once, and the log says why."""
        self.redis.kill()
        visit, call = visited(partial(self.run_task, "add", 1, 2))
        took, _ = await seconds_until(call)
        self.assertLess(took, AT_ONCE)
        await until(lambda: visit.outcomes)
        self.assertEqual(visit.response.code, 503)
        self.assertIs(visit.outcome.ended, Ended.FAILED)
        (failure,) = self.flushLoggedErrors(Unavailable)
        self.assertIn("cannot be reached: Error 111 connecting to 127.0.0.1", str(failure.value))

    async def test_waiting(self) -> None:
        """A call that waits for its result fails at once when Redis ends."""
        call = self.run_task("add", 1, 2)
        await until(lambda: place_of(call).endswith("sent"))
        self.redis.kill()
        took, error = await seconds_until(call)
        self.assertIsInstance(error, Unavailable)
        self.assertLess(took, AT_ONCE)
        await self.end_orphans()

    async def test_recovery(self) -> None:
        """Once Redis is back, calls work as before, without a restart of this server."""
        await self.start_worker()
        self.assertEqual(await self.run_task("add", 1, 2), 3)
        self.redis.kill()
        for _ in range(2):
            took, error = await seconds_until(self.run_task("add", 1, 2))
            self.assertIsInstance(error, Unavailable)
            self.assertLess(took, AT_ONCE)
        self.redis.start()
        self.assertEqual(await self.run_task("add", 1, 2), 3)
        consumer = self.calls._messages._backend.result_consumer
        await until(lambda: not consumer.subscribed_to)

    async def test_silent(self) -> None:
        """If Redis hangs, calls that wait in a line do not wait for each other's time limit."""
        process = self.redis._process
        assert process is not None
        calls = Calls(self.app, lost_after=2)
        process.send_signal(SIGSTOP)
        self.addCleanup(process.send_signal, SIGCONT)
        failures = [
            self.run_task("add", 1, 2, calls=calls).addErrback(lambda failure: failure.type)
            for _ in range(20)
        ]
        took, types = await seconds_until(gatherResults(failures))
        self.assertEqual(set(types), {Unavailable})
        self.assertLess(took, 20)

    async def test_never_blocks(self) -> None:
        """Running and giving up tasks does not wait for a Redis that does not answer."""
        process = self.redis._process
        assert process is not None
        calls = Calls(self.app, lost_after=60)
        worker = await self.start_worker()
        running = self.run_task("look", "told", calls=calls)
        await worker.log.expect("told begins")
        process.send_signal(SIGSTOP)
        self.addCleanup(process.send_signal, SIGCONT)
        # Each of these would wait for a minute.
        call = self.run_task("add", 1, 2, calls=calls)
        running.cancel()
        await deferLater(reactor, 0.1)
        self.assertNoResult(call)
        self.assertNoResult(running)
        process.send_signal(SIGCONT)
        self.assertEqual(await call, 3)
        await self.assertFailure(running, CancelledError)

    async def test_unix_socket(self) -> None:
        """Redis may listen on a Unix socket, whose connections take no timeout."""
        self.app = make_app("redis+socket:///nowhere/redis.sock")
        _, error = await seconds_until(self.run_task("add", 1, 2, calls=Calls(self.app)))
        self.assertRegex(str(error), "^Celery's result backend cannot be reached: ")

    def test_other_broker(self) -> None:
        """Another broker than Redis gets no options of Redis."""
        self.app.conf.broker_url = "memory://"
        connection = Calls(self.app)._messages._connect()
        self.assertNotIn("socket_timeout", connection.transport_options)
        self.assertEqual(connection.transport_options["max_retries"], 0)

    def test_told(self) -> None:
        """A message that fails for another reason is an error with a traceback, in the log."""
        messages = self.calls._messages
        leaving = Leaving(reactor, messages, None, lambda *_: None)
        leaving.note(Failure(ValueError("no reason of ours")))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_told_once(self) -> None:
        """A server that is out of reach is one line in the log, however many messages fail."""
        events = log_events(self)
        leaving = Leaving(reactor, self.calls._messages, None, lambda *_: None)
        for _ in range(2):
            leaving.note(Failure(Unavailable("Celery's broker", "refused")))
        self.assertEqual(len(of_cancelweb(events, LogLevel.warn)), 1)

    def test_faster_than_the_report(self) -> None:
        """A task that has ended before the report that it is sent is not waited for again."""
        under_way = CallsUnderWay.make(reactor, self.calls._messages, None)
        call = Call(self.app.tasks["add"].s(1, 2), "id", None, lambda _: None)
        call.is_done = True
        under_way._published(call, True)
        self.assertEqual(under_way._awaited, {})

    async def test_broker_alone(self) -> None:
        """If only the broker is out of reach, the failure names the broker."""
        port = reserve_port(self)
        self.app.conf.broker_url = f"redis://127.0.0.1:{port}/0"
        took, error = await seconds_until(self.run_task("add", 1, 2))
        self.assertRegex(str(error), "^Celery's broker cannot be reached: ")
        self.assertLess(took, AT_ONCE)

    async def test_given_up_meanwhile(self) -> None:
        """A task that is given up while Redis is out of reach is stopped once it is back."""
        events = log_events(self)
        call = self.run_task("add", 1, 2)
        await until(lambda: place_of(call).endswith("sent"))
        self.redis.kill()
        call.cancel()
        await until(lambda: of_cancelweb(events, LogLevel.warn))
        self.redis.start()
        await self.start_worker()
        await self.assertFailure(call, CancelledError)
        (told,) = of_cancelweb(events, LogLevel.warn)
        self.assertRegex(formatEvent(told), "cannot be reached: .* are stopped once it is back$")

    async def end_orphans(self) -> None:
        """Wait until no task is asked about any more: Redis came back without them."""
        self.redis.start()
        await self.start_worker()
        await until(self.is_all_over)


class WorkerTests(CeleryTestCase):
    """Workers that do not run, or end."""

    async def test_none(self) -> None:
        """Without a worker a revoke is lost. The task is told when a worker begins it."""
        call = self.run_task("look", "a")
        await until(lambda: place_of(call).endswith(", sent"))
        call.cancel()
        under_way = self.calls._under_way
        assert under_way is not None
        await until(lambda: under_way.leaving._is_asking)
        # The question waits a second for an answer; the task is asked about after that.
        later = self.run_task("look", "b")
        await until(lambda: place_of(later).endswith(", sent"))
        later.cancel()
        for each in call, later:
            await until(lambda each=each: self.app.backend.get_state(call_id(each)) == ABORTED)
        worker = await self.start_worker()
        for each in call, later:
            await self.assertFailure(each, CancelledError)
        self.assertEqual(
            len(worker.log.matching("[ab] begins")), len(worker.log.matching("[ab] ends"))
        )

    async def test_killed(self) -> None:
        """A killed worker stops nothing, and the call ends with its deadline: with `Lost`."""
        calls = Calls(self.app, lost_after=1)
        worker = await self.start_worker()
        call = self.run_task("sleep", "a", 8, calls=calls)
        await worker.log.expect("a begins")
        call.cancel()
        await until(lambda: "running in one@tests" in place_of(call))
        worker.signal("KILL")
        await worker.end()
        await self.start_worker("two")
        with self.assertRaisesRegex(Lost, "one@tests held the Celery task .* may still be running"):
            await call

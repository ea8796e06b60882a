"""Celery tasks that end by themselves: results, errors, limits, and what is refused.

What belongs here: calls that are not given up. What does not: tasks that are stopped, which
`test_celery_stopped` and `test_celery_lost` have.
"""

import re
import threading
from contextlib import suppress as suppressing
from typing import Any

from celery import Celery, chain, chord, group
from celery.exceptions import TaskRevokedError
from kombu.exceptions import DecodeError
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

import cancelweb.celery
from cancelweb import Disconnected, StartRefused
from cancelweb.celery import Calls

from ..._cycles import no_cycles
from ..._servers import REPOSITORY
from ..._visits import Visit
from ._shared import SharedTestCase
from ._tasks import Refused, make_app
from ._worker import call_id, place_of, until

MOST = 5
"""How many threads requests may wait with."""


def lanes() -> list[threading.Thread]:
    """The threads of calls."""
    return [each for each in threading.enumerate() if "cancelweb-celery" in each.name]


class ResultTests(SharedTestCase):
    """What a call fires with."""

    async def test_result(self) -> None:
        """The Deferred fires with what the task returned, and nothing of it stays in Redis."""
        await self.shared_worker()
        adding = self.run_task("add", 1, 2)
        task_id = call_id(adding)
        self.assertEqual(await adding, 3)
        backend = self.calls._messages._backend
        await until(lambda: not backend.client.exists(backend.get_key_for_task(task_id)))

    async def test_error(self) -> None:
        """A call fails with the task's own exception; the worker's traceback is a note of it."""
        await self.shared_worker()
        with self.assertRaises(Refused) as caught:
            await self.run_task("fail", "no")
        self.assertEqual(str(caught.exception), "no")
        (note,) = caught.exception.__notes__
        self.assertRegex(note, r'_tasks\.py", line \d+, in _fail')

    async def test_place(self) -> None:
        """Reports say which task a request waits for, and in which state it is."""
        worker = await self.shared_worker()
        running = self.run_task("sleep_tracked", "a", 0.5)
        self.assertRegex(
            place_of(running), r"^Celery task sleep_tracked\[[-0-9a-f]{36}\], not sent yet$"
        )
        await worker.log.expect("a begins")
        queued = self.run_task("sleep", "b", 0)
        await until(lambda: place_of(queued).endswith(", sent"))
        await until(lambda: place_of(running).endswith(", in the state STARTED"))
        self.assertEqual(await gatherResults([running, queued]), ["a", "b"])

    async def test_expires(self) -> None:
        """No worker begins a task after the deadline of its request; the call then fails."""
        worker = await self.shared_worker()
        busy = self.run_task("sleep", "busy", 1)
        await worker.log.expect("busy begins")
        late = self.run_in_scope(self.app.tasks["add"].s(1, 2), 0.2)
        with self.assertRaisesRegex(TaskRevokedError, "expired"):
            await late
        self.assertEqual(worker.log.matching("add 1 2"), [])
        await busy

    async def test_own_expires(self) -> None:
        """A task with a limit of its own keeps it."""
        await self.shared_worker()
        signature = self.app.tasks["add"].s(1, 2).set(expires=60)
        self.assertEqual(await self.run_in_scope(signature, 0.000001), 3)

    def run_in_scope(self, signature: Any, timeout: float) -> Deferred[Any]:
        """Call a task for a request with a deadline, whose clock stands still."""
        calls = []

        def handler(request: Request) -> Deferred[bytes]:
            calls.append(self.calls.run(signature))
            return Deferred()

        Visit(handler, timeout=timeout)
        return calls[0]

    async def test_task_of_another_app(self) -> None:
        """The task of another app is refused, because its result arrives elsewhere."""
        other = make_app(self.redis.url)
        with self.assertRaisesRegex(ValueError, "Make Calls with the task's own app"):
            await self.calls.run(other.tasks["add"].s(1, 2))

    async def test_wrong_task_arguments(self) -> None:
        """Arguments that the task does not take fail the call, as Celery says, and no other."""
        await self.shared_worker()
        with self.assertRaisesRegex(TypeError, "positional argument"):
            await self.run_task("add")
        self.assertEqual(await self.run_task("add", 1, 2), 3)

    async def test_unreadable(self) -> None:
        """A result that cannot be decoded fails its own call, and no other."""
        worker = await self.shared_worker()
        other = self.run_task("sleep", "other", 1)
        await worker.log.expect("other begins")
        broken = self.calls.run(self.app.tasks["add"].s(1, 2).set(queue="of another worker"))
        await until(lambda: place_of(broken).endswith(", sent"))
        backend = self.calls._messages._backend
        # As a worker does whose serializer is another one.
        backend.set(backend.get_key_for_task(call_id(broken)), b"no JSON")
        await self.assertFailure(broken, DecodeError)
        self.assertEqual(await other, "other")
        await until(self.is_all_over)

    async def test_unreadable_no_more(self) -> None:
        """If it was overwritten meanwhile, nothing tells which call it was, so all fail."""
        worker = await self.shared_worker()
        call = self.run_task("look", "a")
        await worker.log.expect("a begins")
        await until(lambda: place_of(call).endswith(", sent"))
        backend = self.calls._messages._backend
        backend.client.publish(backend.get_key_for_task(call_id(call)), b"no JSON")
        await self.assertFailure(call, DecodeError)
        await until(self.is_all_over)


class ReferenceTests(SynchronousTestCase):
    """The module's page in the reference."""

    def test_is_complete(self) -> None:
        """The page has each public name."""
        page = (REPOSITORY / "docs" / "reference" / "celery.rst").read_text()
        listed = re.findall(r"^\.\. auto\w+:: (\w+)", page, re.M)
        self.assertEqual(sorted(listed), sorted(cancelweb.celery.__all__))


class ThreadTests(SharedTestCase):
    """Threads."""

    async def test_are_few(self) -> None:
        """A thousand requests wait with a handful of threads, and the reactor goes on."""
        before = set(lanes())
        worker = await self.shared_worker()
        calls = [self.run_task("look", f"task {n}") for n in range(1000)]
        await worker.log.expect("begins")
        await until(lambda: all(not place_of(each).endswith("not sent yet") for each in calls))
        self.assertLessEqual(len(set(lanes()) - before), MOST)
        for each in calls:
            each.cancel()
            each.addErrback(lambda _: None)
        await gatherResults(calls)
        self.assertLess(len(worker.log.matching("begins")), 100)


class MemoryTests(SharedTestCase):
    """What a call leaves behind."""

    async def test_no_cycle(self) -> None:
        """Calls that end, fail or are given up leave nothing to the cycle collector."""
        worker = await self.shared_worker()
        await self.run_task("add", 1, 2)
        with no_cycles(self):
            await self.run_task("add", 1, 2)
            await self.run_task("fail", "no").addErrback(lambda failure: failure.trap(Refused))
            look = self.run_task("look", "a")
            await worker.log.expect("a begins")
            look.cancel()
            await look.addErrback(lambda failure: failure.trap(CancelledError))
            del look

    async def test_nothing_pending(self) -> None:
        """After its end, nothing of a call is kept, also not by Celery."""
        worker = await self.shared_worker()
        queued = [self.run_task("look", f"task {n}") for n in range(20)]
        await worker.log.expect("task 0 begins")
        for each in queued:
            each.cancel()
            each.addErrback(lambda failure: failure.trap(CancelledError))
        await gatherResults(queued)
        self.assertTrue(self.is_all_over())
        under_way = self.calls._under_way
        assert under_way is not None
        self.assertEqual(under_way._awaited, {})
        backend = self.calls._messages._backend
        await until(lambda: not backend.result_consumer.subscribed_to)
        self.assertEqual([*map(len, backend._pending_results)], [0, 0])


class RefusedTests(SharedTestCase):
    """What is refused, with words that say why."""

    def test_dead_scope(self) -> None:
        """In a cancelled scope no task begins."""
        refused: list[Deferred[Any]] = []

        async def handler(request: Request) -> bytes:
            with suppressing(CancelledError):
                await Deferred()
            refused.append(self.run_task("add", 1, 2))
            return b""

        visit = Visit(handler)
        visit.disconnect()
        visit.clock.pump([0, 0])
        failure = self.failureResultOf(refused[0], StartRefused)
        self.assertIn("a Celery task was not started", failure.getErrorMessage())
        self.assertIsInstance(failure.value.cause, Disconnected)

    def test_no_signature(self) -> None:
        """A task without arguments, or another value, is refused with an example."""
        for wrong in (self.app.tasks["add"], None, "add"):
            with self.assertRaisesRegex(TypeError, r"such as report\.s\(7\), not"):
                self.calls.run(wrong)

    def test_canvas(self) -> None:
        """Chains, groups and chords are refused: their tasks have ids that nothing could revoke."""
        add = self.app.tasks["add"]
        for kind, several in (
            ("chain", chain(add.s(1, 2), add.s(3))),
            ("group", group([add.s(1, 2)], app=self.app)),
            ("chord", chord([add.s(1, 2)], add.s(3), app=self.app)),
        ):
            with self.assertRaisesRegex(TypeError, f"not a {kind}, whose tasks"):
                self.calls.run(several)

    def test_ignored_result(self) -> None:
        """A task that ignores its result is refused, unless this call does not."""
        ignored = self.app.tasks["ignored"]
        for wrong in (ignored.s(1, 2), self.app.tasks["add"].s(1, 2).set(ignore_result=True)):
            with self.assertRaisesRegex(ValueError, r"ignores its result \(ignore_result\)"):
                self.calls.run(wrong)

    async def test_heeded_result(self) -> None:
        """A call may ask for the result of a task that ignores it by default."""
        await self.shared_worker()
        heeded = self.app.tasks["ignored"].s(1, 2).set(ignore_result=False)
        self.assertEqual(await self.calls.run(heeded), 3)

    def test_eager(self) -> None:
        """With task_always_eager the task would run in this process, so it is refused."""
        self.app.conf.task_always_eager = True
        with self.assertRaisesRegex(RuntimeError, "task_always_eager is set"):
            self.run_task("add", 1, 2)

    def test_backend(self) -> None:
        """An app without results, or with results that are not in Redis, is refused."""
        for backend, shown in ((None, "disabled://"), ("rpc://", "rpc://")):
            app = Celery("other", broker=self.redis.url, backend=backend, set_as_current=False)
            with self.assertRaisesRegex(ValueError, f"must be Redis, not {shown}"):
                Calls(app)

    def test_broker(self) -> None:
        """A broker that cannot send a command to all workers is refused."""
        app = Celery("other", broker="sqs://", backend=self.redis.url, set_as_current=False)
        app.conf.broker_transport = "tests.real.engines._tasks:Deaf"
        with self.assertRaisesRegex(ValueError, "Use Redis or RabbitMQ"):
            Calls(app)

    def test_arguments(self) -> None:
        """Arguments of a wrong type or value are refused, and named."""
        wrong: Any
        for wrong in (None, "app", Celery):
            with self.assertRaisesRegex(TypeError, "app must be a Celery app, not"):
                Calls(wrong)
        for wrong in ("KILL", 15, True, ["SIGTERM"]):
            with self.assertRaisesRegex(ValueError, "terminate must be one of"):
                Calls(self.app, terminate=wrong)
        for wrong, error in ((0, ValueError), ("3", TypeError), (True, TypeError)):
            with self.assertRaisesRegex(error, "lost_after must be"):
                Calls(self.app, lost_after=wrong)

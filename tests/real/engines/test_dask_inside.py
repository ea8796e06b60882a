"""Dask inside this process: `check` in its tasks, and the questions to its scheduler and workers.

What belongs here: what is seen from the inside. What does not: whether calls stop, for which the
workers are processes.
"""

import asyncio
import threading
from typing import Any

from distributed import Client, LocalCluster
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cancelweb import Unavailable
from cancelweb._engines import dask_cluster
from cancelweb._engines.dask_remote import running_tasks, unfinished_tasks, wanted_tasks
from cancelweb._kinds.where import lines_of
from cancelweb.dask import Calls, TaskCancelled, check, result

from ._dask_tasks import ROUND, double

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

LONGEST = 30

looking: dict[str, "Look"] = {}
"""Dask copies arguments even in one process, so that its tasks find these by name."""


class Look:
    """What one task does, and when: it looks once, when the test says so.

    Attributes:
        raised: what `check` raised.
    """

    def __init__(self, name: str) -> None:
        looking[name] = self
        self.begun, self.now, self.is_clean = (threading.Event() for _ in range(3))
        self.raised: list[BaseException] = []

    def look(self) -> str:
        """Call `check`."""
        try:
            check()
        except BaseException as error:
            self.raised.append(error)
            raise
        return "wanted"


def look(name: str) -> str:
    """Look in a thread."""
    each = looking[name]
    each.begun.set()
    each.now.wait(LONGEST)
    return each.look()


async def look_too(name: str) -> str:
    """Look in a coroutine."""
    each = looking[name]
    each.begun.set()
    while not each.now.is_set():
        await asyncio.sleep(ROUND)
    return each.look()


def look_elsewhere(name: str) -> str:
    """Look in a thread that the task has started."""
    each = looking[name]
    each.begun.set()
    each.now.wait(LONGEST)
    thread = threading.Thread(target=each.look)
    thread.start()
    thread.join()
    return "wanted"


async def look_in_other_thread(name: str) -> str:
    """Look in a thread of asyncio's executor, which has the context of the task."""
    each = looking[name]
    each.begun.set()
    while not each.now.is_set():
        await asyncio.sleep(ROUND)
    return await asyncio.to_thread(each.look)


def look_and_clean_up(name: str) -> str:
    """Look, and then clean up for as long as the test says."""
    each = looking[name]
    each.begun.set()
    each.now.wait(LONGEST)
    try:
        return each.look()
    finally:
        each.is_clean.wait(LONGEST)


def pair(one: object, other: object) -> None:
    """Depend on two tasks."""


class InsideTestCase(TestCase):
    """A test with a scheduler and a worker in threads of this process."""

    timeout = 120

    def setUp(self) -> None:
        cluster = LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=False,
            dashboard_address=":0",
            memory_limit=0,
        )
        self.addCleanup(cluster.close)
        self.scheduler: Any = cluster.scheduler
        self.workers = [*cluster.workers.values()]
        self.client = Client(cluster, set_as_default=False)
        self.addCleanup(self.client.close)
        self.calls = Calls(self.client)

    def watch(self, name: str) -> Look:
        """What a task does; at the end of the test it looks, if it has not yet."""
        each = Look(name)
        self.addCleanup(looking.pop, name)
        self.addCleanup(each.now.set)
        self.addCleanup(each.is_clean.set)
        return each

    async def given_up(self, function: Any) -> tuple[Look, Deferred[Any]]:
        """A call that was given up, and whose worker has been told."""
        watched = self.watch(function.__name__)
        call = self.calls.run(function, function.__name__)
        await deferToThread(watched.begun.wait, LONGEST)
        call.cancel()
        while " on " not in "".join(lines_of(call)):
            await deferLater(reactor, ROUND)
        return watched, call


class CheckTests(InsideTestCase):
    """`check` in a task and elsewhere."""

    async def test_wanted(self) -> None:
        """In a task whose result is wanted, it does nothing."""
        for function in look, look_too:
            self.watch(function.__name__).now.set()
            call: Deferred[str] = self.calls.run(function, function.__name__)
            self.assertEqual(await call, "wanted")

    async def test_given_up(self) -> None:
        """In a task that was given up, it raises a CancelledError."""
        for function in look, look_too:
            watched, call = await self.given_up(function)
            watched.now.set()
            with self.assertRaises(CancelledError):
                await call
            [error] = watched.raised
            self.assertIsInstance(error, TaskCancelled)
            self.assertIsInstance(error, CancelledError)
            self.assertRegex(str(error), r"the result of task look\w*-\w+ is not wanted any more")

    async def test_wanted_again(self) -> None:
        """If a task is wanted again while it cleans up, Dask runs it again for the new request."""
        watched, first = await self.given_up(look_and_clean_up)
        watched.now.set()
        while not watched.raised:
            await deferLater(reactor, ROUND)
        second: Deferred[str] = self.calls.run(look_and_clean_up, "look_and_clean_up")
        [worker] = self.workers
        while "executing" not in [each.state for each in [*worker.state.tasks.values()]]:
            await deferLater(reactor, ROUND)
        watched.is_clean.set()
        self.assertEqual(await second, "wanted")
        with self.assertRaises(CancelledError):
            await first

    async def test_in_other_threads(self) -> None:
        """In a thread that a task has started, it does nothing."""
        for function in look_elsewhere, look_in_other_thread:
            watched, call = await self.given_up(function)
            watched.now.set()
            with self.assertRaises(CancelledError):
                await call
            self.assertEqual(watched.raised, [])

    async def test_elsewhere(self) -> None:
        """In this process it does nothing, nor on a worker in what is not a task."""
        check()
        self.assertEqual(list(self.client.run(check).values()), [None])

        async def check_too() -> None:
            check()

        self.assertEqual(list(self.client.run(check_too).values()), [None])


class QuestionTests(InsideTestCase):
    """The questions to the scheduler and the workers."""

    async def ask(self, question: Any, *args: Any, **asked: Any) -> Any:
        """Ask on Dask's event loop, without sending the question anywhere."""
        return await deferToThread(self.client.sync, question, *args, **asked)

    async def test_unfinished_tasks(self) -> None:
        """The scheduler tells which tasks are not done, and which worker has them."""
        watched = self.watch("look")
        done = self.client.submit(double, 1)
        await result(done)
        below = self.client.submit(look, "look")
        await deferToThread(watched.begun.wait, LONGEST)
        above = self.client.submit(pair, below, done)
        top = self.client.submit(pair, above, below)
        keys = [each.key for each in (done, below, above, top)]
        found = await self.ask(unfinished_tasks(), keys, dask_scheduler=self.scheduler)
        self.assertEqual(sorted(found[top.key]), sorted([top.key, above.key, below.key]))
        [worker] = self.workers
        self.assertEqual(found[below.key], {below.key: worker.address})
        self.assertEqual(found[done.key], {done.key: None})

    async def test_tasks_that_have_not_arrived(self) -> None:
        """A task that the scheduler does not know may still arrive, so it counts as unfinished."""
        found = await self.ask(unfinished_tasks(), ["unknown"], dask_scheduler=self.scheduler)
        self.assertEqual(found, {"unknown": {"unknown": None}})

    async def test_wanted_tasks(self) -> None:
        """The scheduler tells which tasks it still has, and its workers."""
        future = self.client.submit(double, 1)
        await result(future)
        asked: tuple[Any, ...] = "client", [], [future.key, "unknown"]
        told = await self.ask(wanted_tasks(), *asked, dask_scheduler=self.scheduler)
        self.assertEqual(told, ([future.key], [*self.scheduler.workers]))

    async def test_message_that_has_not_arrived(self) -> None:
        """The scheduler cannot tell what is wanted while it thinks that the client wants all."""
        future = self.client.submit(double, 1)
        await result(future)
        keys = [future.key]
        asked = self.client.id, keys, keys
        self.assertIsNone(await self.ask(wanted_tasks(), *asked, dask_scheduler=self.scheduler))

    async def test_running_tasks(self) -> None:
        """A worker tells what it runs, and what of that was given up."""
        [worker] = self.workers
        self.assertEqual(await self.ask(running_tasks(), dask_worker=worker), {})
        watched = self.watch("look")
        future = self.client.submit(look, "look")
        await deferToThread(watched.begun.wait, LONGEST)
        running = await self.ask(running_tasks(), dask_worker=worker)
        self.assertEqual(running, {future.key: False})
        future.release()
        while not (await self.ask(running_tasks(), dask_worker=worker))[future.key]:
            pass

    async def test_asked_again(self) -> None:
        """If the scheduler cannot tell yet, it is asked again."""
        self.answer_first("wanted_tasks", _tell_nothing, times=1)
        watched, call = await self.given_up(look)
        watched.now.set()
        with self.assertRaises(CancelledError):
            await call

    def answer_first(self, name: str, answer: Any, times: int) -> list[str]:
        """Have a question answered by another function the first times; returns what was asked."""
        asked: list[str] = []
        real: Any = getattr(dask_cluster, name)

        def question() -> Any:
            asked.append(name)
            return answer if len(asked) <= times else real()

        self.patch(dask_cluster, name, question)
        return asked

    async def test_scheduler_that_cannot_be_reached(self) -> None:
        """If the question to the scheduler is lost, the call fails with Unavailable."""
        self.answer_first("wanted_tasks", _raise_os_error, times=1)
        watched = self.watch("look")
        call = self.calls.run(look, "look")
        await deferToThread(watched.begun.wait, LONGEST)
        call.cancel()
        with self.assertRaisesRegex(Unavailable, "the client has lost its connection"):
            await call

    async def test_new_connection(self) -> None:
        """A new connection to a scheduler tells nothing about what was given up before."""
        # The connection is new between two questions.
        self.patch(dask_cluster, "FIRST_PAUSE", LONGEST)
        _, first = await self.given_up(look)
        client: Any = self.client
        before = client.scheduler_comm
        client.loop.add_callback(before.comm.abort)
        while client.scheduler_comm in (None, before) or client.status != "running":
            await deferLater(reactor, ROUND)
        self.assertNoResult(first)
        # This one leads to a new question.
        second = self.calls.run(double, 1)
        second.cancel()
        with self.assertRaisesRegex(Unavailable, "the client has lost its connection"):
            await first
        with self.assertRaises(CancelledError):
            await second

    async def test_worker_that_cannot_be_reached(self) -> None:
        """A worker that cannot be asked may still run the task, so it is asked again."""
        asked = self.answer_first("running_tasks", _raise_os_error, times=2)
        watched, call = await self.given_up(look)
        self.assertLess(len(asked), 3)
        watched.now.set()
        with self.assertRaises(CancelledError):
            await call
        self.assertGreaterEqual(len(asked), 3)

    async def test_worker_that_answers_with_an_error(self) -> None:
        """If a worker answers with any other error, the call fails with it."""
        self.answer_first("running_tasks", _raise_an_error, times=1)
        watched = self.watch("look")
        call = self.calls.run(look, "look")
        await deferToThread(watched.begun.wait, LONGEST)
        call.cancel()
        with self.assertRaisesRegex(AttributeError, "no such state"):
            await call


def _tell_nothing(*_: object) -> None:
    """Return None."""


def _raise_os_error(*_: object) -> None:
    raise ConnectionResetError("lost")


def _raise_an_error() -> None:
    raise AttributeError("no such state")

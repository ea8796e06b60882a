"""Give up futures of a Dask client, and find out when no worker runs their tasks any longer.

Runs on the event loop of the client. `dask_remote` has what the cluster is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

from attrs import define, field
from distributed import Client, Future

from .._kinds.where import Place
from .dask_loops import loss_since, lost_or, start
from .dask_remote import Key, Running, Wanted, running_tasks, unfinished_tasks, wanted_tasks

Answers = dict[str, Running | OSError]
"""What workers answer, by their addresses."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""How many seconds pass between two questions, doubled each time that nothing new was given up."""

PATIENCE = 1.0
"""How many seconds a worker has for its answer, before those of the other workers are used."""


@define(eq=False)
class GivenUp:
    """A future that is no longer wanted.

    Attributes:
        future: the future.
        place: where its task still runs, in words.
        ended: called once, with None when no worker runs it, or with an exception if the cluster
            cannot be asked.
        unfinished: the keys of the tasks behind it that may still run, its own among them, each
            with the worker that it was assigned to, or None.
        workers: the addresses of the workers that may run them; None for all workers.
        connection: the client's connection to the scheduler. Another scheduler would not know.
    """

    future: Future[Any]
    place: Place
    ended: Callable[[BaseException | None], object]
    unfinished: dict[Key, str | None] = field(factory=dict, init=False)
    workers: set[str] | None = field(default=None, init=False)
    connection: object = field(init=False)

    @connection.default
    def _connection(self) -> object:
        return self.future.client.scheduler_comm

    def note(self, running: Answers, wanted: set[Key]) -> None:
        """Note what the workers run, and which tasks the scheduler wants for others."""
        found = {
            address: self._of_worker(address, tasks, wanted)
            for address, tasks in running.items()
            if self.workers is None or address in self.workers
        }
        self.workers = {address for address, keys in found.items() if keys}
        left = set[Key]().union(*found.values())
        self.unfinished = {key: worker for key, worker in self.unfinished.items() if key in left}
        if self.workers:
            self.place.text = f"Dask task {self.future.key} on {', '.join(sorted(self.workers))}"

    def _of_worker(self, address: str, running: Running | OSError, wanted: set[Key]) -> set[Key]:
        if isinstance(running, OSError):
            # It may run any of them, except those that another worker had.
            return {key for key, worker in self.unfinished.items() if worker in (None, address)}
        # A task that is wanted may have been started again, here for others or on another worker.
        return {
            key
            for key in self.unfinished.keys() & running.keys()
            if running[key] or key not in wanted
        }


@define(eq=False)
class Cluster:
    """The futures of one client that are being given up.

    One question at a time is about all of them, so the cluster gets few questions in a storm. A
    worker that is late with an answer is not asked again until then.
    """

    _new: list[GivenUp] = field(factory=list, init=False)
    _released: list[GivenUp] = field(factory=list, init=False)
    _has_new: asyncio.Event = field(factory=asyncio.Event, init=False)
    _is_releasing: bool = field(default=False, init=False)
    _is_asking: bool = field(default=False, init=False)
    _late: dict[str, asyncio.Task[Answers]] = field(factory=dict, init=False)

    def give_up(self, given_up: GivenUp) -> None:
        """Release a future, and call `GivenUp.ended` once no worker runs its task."""
        self._new.append(given_up)
        if not self._is_releasing:
            self._is_releasing = True
            start(self._release_new(given_up.future.client))

    async def _release_new(self, client: Client) -> None:
        try:
            with _ending(self._new, client):
                while self._new:
                    batch = [*self._new]
                    self._new.clear()
                    with _ending(batch, client):
                        await _release(client, batch)
                    self._has_released(client, batch)
        finally:
            self._is_releasing = False

    def _has_released(self, client: Client, batch: list[GivenUp]) -> None:
        self._released += batch
        self._has_new.set()
        if not self._is_asking:
            self._is_asking = True
            start(self._ask(client))

    async def _ask(self, client: Client) -> None:
        pause = FIRST_PAUSE
        try:
            with _ending(self._released, client):
                while self._released:
                    self._has_new.clear()
                    batch = [*self._released]
                    await self._ask_about(client, batch)
                    self._end(client, batch)
                    pause = await self._rest(pause)
        finally:
            self._is_asking = False

    async def _ask_about(self, client: Client, batch: list[GivenUp]) -> None:
        told = await _wanted(client, batch)
        if told is not None:
            wanted, here = told
            running = await self._running(client, _workers_of(batch, here))
            for each in batch:
                each.note(running, set(wanted))

    async def _running(self, client: Client, workers: list[str]) -> Answers:
        """What the workers answer; one that does not answer soon gets a TimeoutError."""
        self._late = {each: late for each, late in self._late.items() if not late.done()}
        prompt = [each for each in workers if each not in self._late]
        answers: Answers = {each: TimeoutError() for each in workers}
        if prompt and not await _add_answers(answers, [_question(client, prompt)]):
            # The answers of all come together, so one late worker has held up the others.
            alone = {each: _question(client, [each]) for each in prompt}
            await _add_answers(answers, alone.values())
            self._late.update(alone)
        return answers

    def _end(self, client: Client, batch: list[GivenUp]) -> None:
        for each in batch:
            lost = loss_since(client, each.connection)
            if lost is not None or not each.unfinished:
                self._released.remove(each)
                each.ended(lost)

    async def _rest(self, pause: float) -> float:
        """Wait before the next question, unless there is none to ask; returns the next pause."""
        if self._released:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_new.wait(), pause)
        return FIRST_PAUSE if self._has_new.is_set() else min(LONGEST_PAUSE, pause * 2)


@contextmanager
def _ending(batch: list[GivenUp], client: Client) -> Iterator[None]:
    """End all of a batch, and empty it, if the cluster cannot be asked or the loop ends."""
    try:
        yield
    except BaseException as error:
        ended = [*batch]
        batch.clear()
        for each in ended:
            each.ended(lost_or(error, client))
        if not isinstance(error, Exception):
            raise


async def _release(client: Client, batch: list[GivenUp]) -> None:
    pending = [each.future.key for each in batch if each.future.status in ("pending", "lost")]
    try:
        # Asked before, because the scheduler forgets a task as soon as it is not wanted.
        found = await client.run_on_scheduler(unfinished_tasks(), pending) if pending else {}
    finally:
        for each in batch:
            each.future.release()
    await asyncio.sleep(0)  # `Future.release` takes effect in the next turn.
    for each in batch:
        # Otherwise another future of this client has the same key, and keeps the task.
        if each.future.cancelled():
            each.unfinished.update(found.get(each.future.key, {}))


async def _wanted(client: Client, batch: list[GivenUp]) -> Wanted | None:
    """What the scheduler answers; None if there is nothing to ask, or no answer yet."""
    keys = [*set[Key]().union(*(each.unfinished for each in batch))]
    if not keys:
        return None
    # A key that the client has again belongs to a newer future.
    given_up = [each.future.key for each in batch if each.future.key not in client.futures]
    told: Wanted | None = await client.run_on_scheduler(wanted_tasks(), client.id, given_up, keys)
    return told


def _question(client: Client, workers: list[str]) -> asyncio.Task[Answers]:
    return start(client.run(running_tasks(), workers=workers, on_error="return"))


async def _add_answers(answers: Answers, questions: Collection[asyncio.Task[Answers]]) -> bool:
    """Wait for answers, and add those that have come; returns whether all have."""
    done, late = await asyncio.wait(questions, timeout=PATIENCE)
    for question in done:
        answers.update(question.result())
    for answer in answers.values():
        if isinstance(answer, Exception) and not isinstance(answer, OSError):
            raise answer
    return not late


def _workers_of(batch: list[GivenUp], here: list[str]) -> list[str]:
    """The workers that may run what was given up, as far as the scheduler has them."""
    asked: set[str] = set()
    for each in batch:
        asked.update(here if each.workers is None else each.workers)
    return [each for each in here if each in asked]


_clusters: WeakKeyDictionary[Client, Cluster] = WeakKeyDictionary()


def cluster_of(client: Client) -> Cluster:
    """The one `Cluster` of a client. Call this in the reactor's thread."""
    return _clusters.setdefault(client, Cluster())

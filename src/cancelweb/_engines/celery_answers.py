"""What workers and the result backend say about Celery tasks, as plain facts.

Read in one thread and judged in another; nothing here asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from attrs import field, frozen
from twisted.python.failure import Failure


class Stage(Enum):
    """How far a worker has come with a task."""

    ACTIVE = "active"
    """It runs."""
    WAITING = "waiting"
    """The worker keeps it for later, and has not handed it to a process."""


@frozen
class Held:
    """A task that a worker knows.

    Attributes:
        worker: the name of the worker.
        stage: whether it runs there.
        pid: the process that runs it, or None.
    """

    worker: str
    stage: Stage
    pid: int | None = None

    def __str__(self) -> str:
        if self.stage is Stage.WAITING:
            return f"waiting in {self.worker}"
        return f"running in {self.worker}, process {self.pid}"


@frozen
class Pool:
    """The processes of a worker.

    Attributes:
        is_prefork: whether this is Celery's default, which never hands a revoked task to a process.
        pids: the processes that it has now.
    """

    is_prefork: bool
    pids: frozenset[int]


@frozen
class Answers:
    """What one question to all workers has brought.

    Attributes:
        workers: the workers that have answered.
        held: the tasks that they know.
        ends: the results of tasks that have ended.
        pools: the pools of some workers, where they matter.
    """

    workers: frozenset[str] = frozenset()
    held: Mapping[str, Held] = field(factory=dict)
    ends: Mapping[str, Any] = field(factory=dict)
    pools: Mapping[str, Pool] = field(factory=dict)


def result_of(state: str, value: Any, traceback: str | None) -> Any:
    """The result of a task that has ended: what it returned, or a failure.

    Args:
        state: Celery's word for how it ended.
        value: what it returned, or its exception.
        traceback: the lines that its worker wrote, or None. They become a note of the exception.
    """
    if state == "SUCCESS":
        return value
    error = value if isinstance(value, BaseException) else RuntimeError(f"{state}: {value!r}")
    if traceback:
        error.add_note(f"The traceback in the worker:\n{traceback}")
    return Failure(error)


def held_in(told: Mapping[str, Any]) -> Iterator[tuple[str, Held]]:
    """The tasks in the answers to ``query_task``, by worker."""
    for worker, tasks in told.items():
        for task_id, (state, info) in tasks.items():
            stage = Stage.WAITING if state in {"reserved", "scheduled"} else Stage.ACTIVE
            yield task_id, Held(worker, stage, info.get("worker_pid"))


def pool_in(told: Mapping[str, Any]) -> Pool:
    """The pool in the answer of a worker to ``stats``."""
    pool = told["pool"]
    is_prefork = "prefork" in str(pool.get("implementation"))
    return Pool(is_prefork, frozenset(pool.get("processes") or ()))

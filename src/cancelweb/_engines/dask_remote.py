"""What runs in Dask's own processes: three questions about tasks, for its scheduler and workers.

Each function here returns the function to send. Dask sends a nested function as code and not by its
name, so cancelweb need not be installed there. Therefore these use no global names. Dask logs the
names of the nested functions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Key = Any
"""The key of a task: a str, a number, or a tuple of keys."""

Running = dict[Key, bool]
"""The tasks that a worker runs, by their keys, and whether it knows that they were given up."""

Unfinished = dict[Key, dict[Key, str | None]]
"""For each key its unfinished tasks, each with the worker that it is assigned to, or None."""

Wanted = tuple[list[Key], list[str]]
"""The keys of tasks that are wanted for other futures, and the addresses of all workers."""


def unfinished_tasks() -> Callable[..., Awaitable[Unfinished]]:
    """For the scheduler: the tasks that must still be computed for each of some tasks.

    Returns:
        A function that takes keys and returns `Unfinished`: for each, the task itself and the
        unfinished tasks that it depends on. It waits up to a second for tasks that are on their
        way.
    """

    async def cancelweb_unfinished_tasks(keys: list[Key], dask_scheduler: Any) -> Unfinished:
        import asyncio

        tasks = dask_scheduler.tasks
        for _ in range(100):
            if all(key in tasks for key in keys):
                break
            await asyncio.sleep(0.01)
        found = {}
        for key in keys:
            todo, seen = [key], {}
            while todo:
                task = tasks.get(each := todo.pop())
                worker = getattr(task, "processing_on", None)
                seen[each] = getattr(worker, "address", None)
                below = getattr(task, "waiting_on", None) or ()
                todo += {other.key for other in below} - seen.keys()
            found[key] = seen
        return found

    return cancelweb_unfinished_tasks


def wanted_tasks() -> Callable[..., Awaitable[Wanted | None]]:
    """For the scheduler: which tasks are wanted, now that a client has given some up.

    Returns:
        A function that takes the id of the client, the keys that it has given up, and the keys to
        ask about. It returns `Wanted`, or None if the client's message that it has given up its
        keys does not arrive within a second.
    """

    async def cancelweb_wanted_tasks(
        client: str, given_up: list[Key], keys: list[Key], dask_scheduler: Any
    ) -> Wanted | None:
        import asyncio

        tasks = dask_scheduler.tasks
        for _ in range(100):
            holder = dask_scheduler.clients.get(client)
            holders = [tasks[key].who_wants or () for key in given_up if key in tasks]
            if not any(holder in each for each in holders):
                # The scheduler forgets a task as soon as it is not wanted.
                return [key for key in keys if key in tasks], list(dask_scheduler.workers)
            await asyncio.sleep(0.01)
        return None

    return cancelweb_wanted_tasks


def running_tasks() -> Callable[..., Awaitable[Running]]:
    """For a worker: the tasks that it runs, whether they are still wanted or not.

    Returns:
        A function that takes nothing and returns `Running`.
    """

    async def cancelweb_running_tasks(dask_worker: Any) -> Running:
        import asyncio

        # The scheduler's earlier messages take another way, and may arrive after this one.
        await asyncio.sleep(0.02)
        state = dask_worker.state
        running = (*state.executing, *state.long_running)
        return {each.key: each.state in ("cancelled", "resumed") for each in running}

    return cancelweb_running_tasks

"""Tell a Dask task whether its result is still wanted, in the process of the worker."""

from __future__ import annotations

import asyncio
from threading import get_ident
from typing import Any

from distributed import get_worker
from twisted.internet.defer import CancelledError


class TaskCancelled(CancelledError):
    """Raised in a Dask task whose result is not wanted any more.

    If the result is wanted again by the time that the function has ended, Dask runs it again: a new
    request never gets this exception.
    """


def raise_if_cancelled() -> None:
    """Raise `TaskCancelled` if the result of the task that runs here is not wanted any more."""
    try:
        worker = get_worker()
    except ValueError:
        return
    key = worker.active_threads.get(get_ident())
    task = _of_coroutine(worker) if key is None else worker.state.tasks.get(key)
    if task is not None and task.state == "cancelled":
        raise TaskCancelled(f"the result of task {task.key} is not wanted any more")


def _of_coroutine(worker: Any) -> Any:
    """The task that a coroutine on the worker's event loop runs, or None."""
    try:
        current = asyncio.current_task()
    except RuntimeError:
        return None
    # Dask gives the asyncio task this name, and keeps no other link between the two.
    name = "" if current is None else current.get_name()
    running = (*worker.state.executing, *worker.state.long_running)
    return next((each for each in running if name == f"execute({each.key!r})"), None)

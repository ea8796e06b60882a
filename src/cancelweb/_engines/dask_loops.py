"""The event loop of a Dask client, and its connection to the scheduler.

The loop of a synchronous client runs in a thread of its own, that of an asynchronous client in the
thread that made it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from distributed import Client

from .._unavailable import Unavailable

T = TypeVar("T")

_STATES = {
    "newly-created": "the client has not been started",
    "connecting": "the client has no connection and tries to connect",
    "closing": "the client is being closed",
    "closed": "the client is closed: make a new one",
}

_tasks: set[asyncio.Task[Any]] = set()
"""What runs on the event loops, which themselves keep only weak references."""


def call_on_loop(client: Client, function: Callable[..., object], *args: object) -> None:
    """Call a function on the event loop of a client, soon, from any thread.

    Raises:
        RuntimeError: the loop does not run.
    """
    loop: Any = client.loop
    if not loop.asyncio_loop.is_running():
        raise RuntimeError(
            "the event loop of this Dask client does not run. An asynchronous client needs "
            "Twisted's asyncio reactor, twist --reactor=asyncio ...; a synchronous one does not"
        )
    # In an empty context, because what runs there may outlive the request that begins it.
    Context().run(loop.add_callback, function, *args)


def start(steps: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin steps on the event loop that runs here; errors are for code that waits for them."""
    _tasks.add(task := asyncio.ensure_future(steps))
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    # Nothing else may ask for the error of a late answer, and asyncio would log that.
    if not task.cancelled():
        task.exception()


def loss_of(client: Client) -> Unavailable | None:
    """The exception to fail with if a client has no connection to its scheduler, or None."""
    if client.status == "running":
        return None
    return _lost(_STATES.get(client.status, client.status))


def loss_since(client: Client, connection: object) -> Unavailable | None:
    """The exception to fail with if a client has not had the same connection since, or None."""
    lost = loss_of(client)
    if lost is None and client.scheduler_comm is not connection:
        return _lost("the client has lost its connection")
    return lost


def lost_or(error: BaseException, client: Client) -> BaseException:
    """The exception to fail with after an error: `Unavailable` if the connection was lost."""
    lost = loss_of(client)
    reason = getattr(error, "reason", None)
    if lost is None and (isinstance(error, OSError) or reason == "scheduler-connection-lost"):
        lost = _lost("the client has lost its connection")
    if lost is None:
        return error
    lost.__cause__ = error
    return lost


def _lost(detail: str) -> Unavailable:
    return Unavailable("the Dask scheduler", detail)

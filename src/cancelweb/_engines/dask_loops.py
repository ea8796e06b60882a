"""The event loop of a Dask client, and its connection to the scheduler.

The loop of a synchronous client runs in a thread of its own, that of an asynchronous client in the
thread that made it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any

from distributed import Client

from .._unavailable import Unavailable

_STATES = {
    "newly-created": "the client has not been started",
    "connecting": "the client has no connection and tries to connect",
    "closing": "the client is being closed",
    "closed": "the client is closed: make a new one",
}


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


def loss_of(client: Client) -> Unavailable | None:
    """The exception to fail with if a client has no connection to its scheduler, or None."""
    if client.status == "running":
        return None
    return _lost(_STATES.get(client.status, client.status))


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

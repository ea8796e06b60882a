"""Who competes over real sockets: names, and what each is; how they serve is not known here.

Nothing of any framework is imported here, for the processes that only ask.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen


@frozen
class Entrant:
    """A way to serve.

    Attributes:
        title: what the tables call it.
        module: the module that serves it.
        cancels: whether it stops the work of clients who leave.
    """

    title: str
    module: str = "twisted_servers"
    cancels: bool = True


ROSTER = {
    "bare": Entrant("bare Twisted", cancels=False),
    "recipe": Entrant("the tutorial's recipe"),
    "careful": Entrant("a careful handler"),
    "klein": Entrant("Klein, Deferred"),
    "klein_async": Entrant("Klein, async"),
    "aiohttp": Entrant("aiohttp", "asyncio_servers"),
    "starlette": Entrant("Starlette on uvicorn", "asyncio_servers"),
    "call": Entrant("cancelweb, `IDelayedCall`"),
    "deferred": Entrant("cancelweb, `Deferred`"),
    "silent": Entrant("cancelweb, `Deferred`, no log line for who leaves"),
    "coroutine": Entrant("cancelweb, coroutine"),
    "wrapped": Entrant("cancelweb, `CancellingResource`"),
}

OTHER_PACKAGES = ("aiohttp", "starlette", "uvicorn", "uvloop", "httptools")
"""What takes part beside that on which everything here runs."""


def chosen(names: Iterable[str], *, cancelling: bool = False) -> list[str]:
    """These, in the roster's order; only those that cancel, if so wanted."""
    wanted = set(names)
    return [
        name
        for name, entrant in ROSTER.items()
        if name in wanted and (entrant.cancels or not cancelling)
    ]

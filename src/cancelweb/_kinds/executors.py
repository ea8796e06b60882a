"""Find work that keeps running after an asyncio future is cancelled, such as an executor call.

A thread cannot be stopped, but the future that waits for it ends at once.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import ref

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.reflect import safe_repr

from .._log import log
from .._twisted.access import canceller_of
from .._twisted.checks import check
from .._twisted.futures import cancelled_with, future_behind
from .leaves import leaves
from .let_go import Unstopped, position_in, unstoppable_of

check("executors")


class _Running:
    """Stays alive until a call has ended."""


@frozen(eq=False)
class Behind:
    """What some futures wait for, found just before they are cancelled.

    Attributes:
        deferreds: the Deferreds that nothing can stop.
        calls: the executor calls, whether they have begun or not.
    """

    deferreds: list[Deferred[Any]]
    calls: list[concurrent.futures.Future[Any]]

    def running(self, told: str) -> tuple[Unstopped, ...]:
        """Cancel the calls that have not begun, and return those that keep running.

        Call this after the futures were cancelled.

        Args:
            told: where the futures were awaited, line by line, the innermost last.
        """
        # asyncio would pass the cancel on in the next turn. A call could begin before that.
        begun = [each for each in self.calls if not each.cancel()]
        where = position_in(told)
        return tuple(Unstopped("a call in an executor", where, _until_done(each)) for each in begun)


def behind(futures: Iterable[asyncio.Future[Any]]) -> Behind:
    """Find what futures wait for. Call this before they are cancelled.

    Futures of other classes may have attributes with any content. An error here is logged and goes
    no further, so that the cancel still happens.
    """
    futures = [*futures]
    ends: list[object] = []
    try:
        ends += _ends(futures)
    except Exception:
        text = "what runs behind {futures} cannot be told, and counts as stopped"
        log.failure(text, futures=safe_repr(futures))
    calls = [each for each in ends if isinstance(each, concurrent.futures.Future)]
    return Behind(unstoppable_of(each for each in ends if isinstance(each, Deferred)), calls)


def futures_behind(found: Iterable[Deferred[Any]]) -> list[asyncio.Future[Any]]:
    """The asyncio futures that some of these leaves were made from."""
    futures = (future_behind(canceller_of(each)) for each in found)
    return [each for each in futures if each is not None]


def _ends(
    futures: Iterable[asyncio.Future[Any]],
) -> Iterator[Deferred[Any] | concurrent.futures.Future[Any]]:
    """The end of every chain below futures: leaves of Deferreds, and calls in executors."""
    seen: set[int] = set()
    todo: list[object] = [*futures]
    while todo:
        each = todo.pop()
        if asyncio.isfuture(each):
            # Tasks may wait for each other in a circle, so look at each one once.
            todo += () if id(each) in seen else cancelled_with(each)
            seen.add(id(each))
        elif isinstance(each, Deferred):
            found = leaves(each, seen)
            todo += futures_behind(found)
            yield from found
        elif isinstance(each, concurrent.futures.Future):
            yield each


def _until_done(call: concurrent.futures.Future[Any]) -> ref[Any]:
    """A reference to an object that lives until the call has ended; the future may live longer."""
    held = [_Running()]
    running = ref(held[0])
    call.add_done_callback(lambda _: held.clear())
    return running

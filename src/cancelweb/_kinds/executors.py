"""What is behind an asyncio future, and runs on when that is cancelled: a call in an executor, say.

A thread cannot be stopped, and the future that waits for it ends all the same.
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
    """Lives until a call has ended."""


@frozen(eq=False)
class Behind:
    """What is behind some futures that are about to be cancelled.

    Attributes:
        deferreds: those that nothing can stop.
        calls: those in executors; whether they run is not known yet.
    """

    deferreds: list[Deferred[Any]]
    calls: list[concurrent.futures.Future[Any]]

    def running(self, told: str) -> tuple[Unstopped, ...]:
        """The calls that run on, now that the futures are cancelled.

        Args:
            told: where the futures were awaited, line by line, the innermost last.
        """
        # asyncio passes a cancel on in the next turn; by then a call might have begun.
        begun = [each for each in self.calls if not each.cancel()]
        where = position_in(told)
        return tuple(Unstopped("a call in an executor", where, _until_done(each)) for each in begun)


def behind(futures: Iterable[asyncio.Future[Any]]) -> Behind:
    """Look behind futures; to be called before they are cancelled.

    Attributes of other classes may be anything: the cancel must not be lost for that.
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
    """The futures of which some of these leaves were made."""
    futures = (future_behind(canceller_of(each)) for each in found)
    return [each for each in futures if each is not None]


def _ends(
    futures: Iterable[asyncio.Future[Any]],
) -> Iterator[Deferred[Any] | concurrent.futures.Future[Any]]:
    """What is at the end of each way down: the leaves of Deferreds, and no future of asyncio's."""
    seen: set[int] = set()
    todo: list[object] = [*futures]
    while todo:
        each = todo.pop()
        if asyncio.isfuture(each):
            # Tasks may wait for each other in a circle.
            todo += () if id(each) in seen else cancelled_with(each)
            seen.add(id(each))
        elif isinstance(each, Deferred):
            found = leaves(each, seen)
            todo += futures_behind(found)
            yield from found
        elif isinstance(each, concurrent.futures.Future):
            yield each


def _until_done(call: concurrent.futures.Future[Any]) -> ref[Any]:
    """Refers to what lives until the call has ended; the future itself may be kept for longer."""
    held = [_Running()]
    running = ref(held[0])
    call.add_done_callback(lambda _: held.clear())
    return running

"""Track work in a scope, even after the scope has closed.

`Scope.track` documents the contract; `stopping` asks the work to stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from .._kinds.deferred_kinds import DeferredCanceller
from .life import Life
from .parts import Subject
from .states import CLOSED


class Tracks(Subject, Protocol):
    """A scope that can have a new life after it has closed."""

    _life: Life | None

    @property
    def life(self) -> Life:
        """See `Subject`."""


def track(scope: Tracks, work: object) -> object:
    """Track work; returns the work, or the Deferred of a coroutine that was started."""
    scope.catch_up()
    life = scope.life
    with _keeping(scope, life):
        canceller = life.stopping.track(work)
    return canceller.deferred if isinstance(canceller, DeferredCanceller) else work


@contextmanager
def _keeping(scope: Tracks, life: Life) -> Iterator[None]:
    """Keep the same life for the time of this block, although the scope may have closed.

    Work that is tracked late may track more work, which must be asked to stop together with it.
    """
    former, scope._life = scope._life, life
    try:
        yield
    finally:
        if former is None and scope.state is CLOSED:
            scope._life = None

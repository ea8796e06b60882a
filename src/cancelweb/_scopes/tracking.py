"""How a scope takes on work that it is to track, late as it may be.

What `Scope.track` promises stands there; how the work is stopped is for `stopping`.
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
    """A scope that can have a life again, after it has closed."""

    _life: Life | None

    @property
    def life(self) -> Life:
        """See `Subject`."""


def track(scope: Tracks, work: object) -> object:
    """Track work; returns it, or the Deferred of its result where it had to be started."""
    scope.catch_up()
    life = scope.life
    with _keeping(scope, life):
        canceller = life.stopping.track(work)
    return canceller.deferred if isinstance(canceller, DeferredCanceller) else work


@contextmanager
def _keeping(scope: Tracks, life: Life) -> Iterator[None]:
    """Have this be its life meanwhile, though it may have closed.

    Work that is tracked late may track more work, which is asked to stop with it.
    """
    former, scope._life = scope._life, life
    try:
        yield
    finally:
        if former is None and scope.state is CLOSED:
            scope._life = None

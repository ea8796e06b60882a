"""Work that outlives its cancellation: what is told of it, when it is noticed and when it ends.

Whether work is a survivor is for `_work` and the scope to say.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from .._kinds.where import where
from .._log import log, printable
from ..causes import Survivor
from .record import path_of


@frozen(eq=False)
class Survival:
    """One survivor, and who is to hear of its end. Refers to no request and to no work."""

    survivor: Survivor
    monitors: tuple[Any, ...]
    clock: IReactorTime

    def end(self) -> None:
        """It has ended after all."""
        survivor = self.survivor
        for monitor in self.monitors:
            monitor.survivor_ended(survivor)
        log.info(
            "work of {method_text} {path_text} has ended, {seconds:.1f} s after it was asked to "
            "stop",
            survivor=survivor,
            seconds=self.clock.seconds() - survivor.since,
            **_texts(survivor),
        )


def survive(work: Any, keeper: Any, seconds: float) -> Survival:
    """Log that work still runs, and tell the monitors.

    Args:
        work: a `Work`, which was asked to stop.
        keeper: the scope that tracks it.
        seconds: how long ago it was asked.

    Returns:
        What to tell of the end.
    """
    request, monitors = keeper.request, keeper.monitors
    survivor = Survivor(request.method, path_of(request), keeper.cause, work.asked, where(work))
    log.warn(
        "{canceller} of {method_text} {path_text} still runs {seconds:g} s after it was asked to "
        "stop, and waits at {where}",
        canceller=work.canceller,
        seconds=seconds,
        survivor=survivor,
        where=survivor.where,
        **_texts(survivor),
    )
    for monitor in monitors:
        monitor.work_survives(survivor)
    return Survival(survivor, monitors, keeper.clock)


def _texts(survivor: Survivor) -> dict[str, str]:
    return {"method_text": printable(survivor.method), "path_text": printable(survivor.path)}

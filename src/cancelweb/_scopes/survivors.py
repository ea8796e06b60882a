"""Survivors: report work that still runs after it was asked to stop, and its end.

`stopping` decides which work is a survivor; its canceller says where it waits.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import ReferenceType, ref

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from .._kinds.stacks import shortened
from .._log import log, printable
from .._still_running import Survivor
from ..interfaces import IMonitor
from .context import telling_of
from .parts import Subject
from .record import asked_for, path_of
from .states import SURVIVOR
from .telling import Telling
from .work import Work


@frozen(eq=False)
class Survival:
    """One survivor, and the monitors to notify at its end. Refers to no request and no work."""

    survivor: Survivor
    monitors: tuple[IMonitor, ...]
    clock: IReactorTime
    telling: Telling

    def end(self) -> None:
        """Report that the work has ended after all."""
        survivor = self.survivor
        for monitor in self.monitors:
            monitor.survivor_ended(survivor)
        self.telling.log(
            log.info,
            "work of {method_text} {path_text} has ended, {seconds:.1f} s after it was asked to "
            "stop",
            survivor=survivor,
            seconds=self.clock.seconds() - survivor.since,
            **_texts(survivor),
        )


def survive(work: Work, scope: Subject, seconds: float) -> Callable[[], object]:
    """Log that work still runs after it was asked to stop, and tell the monitors.

    Returns:
        The function to call when the work has ended.
    """
    request, monitors = scope.request, scope.options.monitors
    place, described = shortened(work.canceller.where()), work.canceller.describe()
    asked, cause = work.asked_at, asked_for(scope)
    survivor = Survivor(request.method, path_of(request), cause, asked, place)
    log.warn(
        "{canceller} of {method_text} {path_text} still runs {seconds:g} s after it was asked to "
        "stop" + ("" if place == described else ", and waits at {where}"),
        canceller=described,
        seconds=seconds,
        survivor=survivor,
        where=survivor.where,
        **_texts(survivor),
    )
    for monitor in monitors:
        monitor.work_survives(survivor)
    return Survival(survivor, monitors, scope.clock, telling_of(scope, work.canceller)).end


def _texts(survivor: Survivor) -> dict[str, str]:
    return {"method_text": printable(survivor.method), "path_text": printable(survivor.path)}


def watch_over(work: Work, clock: IReactorTime, seconds: float) -> None:
    """Name work a survivor when its time is up, although its scope has closed."""
    work.alarm = clock.callLater(seconds, _outlived, ref(work), seconds)


def _outlived(reference: ReferenceType[Work], seconds: float) -> None:
    work = reference()
    if work is not None:
        work.step = SURVIVOR
        work.telling.log(
            log.warn,
            "{canceller} of a request that is over still runs {seconds:g} s after it was asked to "
            "stop",
            canceller=work.canceller.describe(),
            seconds=seconds,
        )

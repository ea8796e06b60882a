"""What users implement: a canceller for their own kind of work (`ICancellable`), or a monitor.

Interfaces, and a fact that monitors are told; no logic. Of the package it knows `causes`.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import Attribute, Interface

from ._still_running import LetGo, Survivor
from .causes import Cause, Ended, Observer

__all__ = ["ICancellable", "ICancellableDetails", "IMonitor", "LetGo"]


class ICancellable(Interface):
    """Something that runs and can be asked to stop: the canceller of one piece of work.

    Register an adapter from your own kind of work with
    ``twisted.python.components.registerAdapter(factory, type_or_interface, ICancellable)``;
    the factory is called with the work, once for each time that it is returned or tracked. Of
    several cancellers for the same work on one scope only the first is used.

    `ICancellableDetails` has what a canceller may do besides.
    """

    def cancel() -> None:
        """Ask the work to stop; return without waiting for it.

        Called at most once, in the reactor's thread and the context of the handler; from inside
        ``track`` where the scope has been cancelled already. May be called when the work is over,
        and must then do nothing. Whatever it raises is logged.
        """

    def when_settled() -> Deferred[Any]:
        """Tell when the work has really ended, cancelled or not.

        Called once, before ``cancel``.

        Returns:
            A Deferred that fires once: with the work's result, or with its failure (a
            ``CancelledError`` where the work was stopped by ``cancel``). The result of work that
            a handler returned is used as that of a Deferred would be.
        """


class ICancellableDetails(Interface):
    """What a canceller may have besides `ICancellable`.

    Each of these is optional, and is looked for by its name: there is no need to declare this
    interface, nor to have all of it. What is wrong with one of them is logged, and then taken for
    not there.
    """

    clock = Attribute(
        "None in a new canceller. Set to an IReactorTime before cancel() is called: the clock of "
        "the scope, for the canceller's own timers. An attribute that is not None is left alone."
    )
    survivor_after = Attribute(
        "How many seconds the work may take to stop, or None. The scope waits for as long as that, "
        "or as its own survivor_after, whichever is longer. Read when cancel() has returned."
    )
    is_end_observable = Attribute(
        "False if the work was asked to stop and nothing will tell when it does, so that "
        "when_settled() may never fire. The scope then waits no longer, and does not say that the "
        "work has stopped. Read when cancel() has returned."
    )

    def where() -> str:
        """Tell where the work waits: ``render farm, job 17``, say, or several such lines.

        For the report of a survivor and the status page, in place of the ``repr`` of the work.
        Called at any time, and often: be quick.

        Returns:
            Lines of text, the innermost last.
        """

    def response_over() -> None:
        """The response is finished or lost: fire ``when_settled`` now, if nothing else will.

        Called at most once, and not if the work has been asked to stop. For work whose end cannot
        be told otherwise; the scope then waits for it no longer.
        """


class MonitoredScope(Protocol):
    """What a monitor may ask a `Scope`."""

    @property
    def request(self) -> Any:
        """The request."""

    @property
    def cause(self) -> Cause | None:
        """Why the scope was cancelled, or None."""

    @property
    def ended(self) -> Ended:
        """How its work has ended, so far."""

    @property
    def would_have_cancelled(self) -> Cause | None:
        """What would have cancelled it, but for a dry run or its method."""


class DetachedWork(Protocol):
    """What a monitor may do with work that goes on outside its request.

    Attributes:
        work: what was detached.
        clock: where time is taken from while it is being stopped; set it before `cancel`.
    """

    @property
    def work(self) -> object: ...

    clock: IReactorTime | None

    def describe(self) -> str:
        """Tell what the work is, in a few words."""

    def where(self) -> str:
        """Tell where the work waits: a line or more, the innermost last."""

    def cancel(self) -> None:
        """Ask the work to stop."""


class IMonitor(Interface):
    """What an entry point tells the monitor that it was given, and asks it.

    Called in the reactor's thread; must not raise. Each request that an entry point meets is told
    once, in the order of these methods.
    """

    is_draining = Attribute("Whether new requests are to be answered 503, without their handler.")
    retry_after = Attribute("Whole seconds that a client is told to wait then, 1 or more.")

    def scope_opened(scope: MonitoredScope) -> None:  # noqa: N805 - an interface has no self
        """An entry point that has this monitor has met a request.

        Args:
            scope: the `Scope`. Hold it until it has closed.
        """

    def scope_closed(scope: MonitoredScope) -> tuple[Observer, ...]:  # noqa: N805
        """A scope closes: its work has ended, its hooks have been run.

        Args:
            scope: has its request, ``cause``, ``ended`` and ``would_have_cancelled`` still.

        Returns:
            The observers that are told its `Outcome`, besides those of the entry point.
        """

    def scope_withdrawn(scope: MonitoredScope) -> None:  # noqa: N805
        """As if there had been no such scope: its request is rendered once more, in another."""

    def work_survives(survivor: Survivor) -> None:  # noqa: N805
        """Work has outlived its cancellation.

        Args:
            survivor: a `Survivor`. Hold it until it has ended, which may be after its scope closed.
        """

    def survivor_ended(survivor: Survivor) -> None:  # noqa: N805
        """This survivor, of which it was told, has ended."""

    def work_let_go(let_go: LetGo) -> None:  # noqa: N805
        """A scope waits no longer for work that nothing can stop.

        Args:
            let_go: a `LetGo`. Hold it until it has ended, which may be after its scope closed.
        """

    def let_go_ended(let_go: LetGo) -> None:  # noqa: N805
        """This work, of which it was told, has ended, or its end cannot be observed."""

    def work_detached(work: DetachedWork) -> None:  # noqa: N805
        """Work goes on outside its request: a drain is to wait for it.

        Args:
            work: has a ``cancel()``, which asks it to stop. Hold it until it has ended.
        """

    def detached_work_ended(work: DetachedWork) -> None:  # noqa: N805
        """This work, of which it was told, has ended, however; told once."""

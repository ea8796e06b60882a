"""Interfaces that users implement: a canceller (`ICancellable`) for a kind of work, or a monitor.

Interfaces and protocols only, without logic.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request
from zope.interface import Attribute, Interface

from ._still_running import LetGo, Survivor
from .causes import Cause, Ended, Observer

__all__ = ["DetachedWork", "ICancellable", "ICancellableDetails", "IMonitor", "LetGo"]


class ICancellable(Interface):
    """A canceller: the adapter that knows how to stop one piece of work.

    Register an adapter for your own kind of work with
    ``twisted.python.components.registerAdapter(factory, type_or_interface, ICancellable)``.
    cancelweb calls the factory with the work each time that the work is returned or tracked. If
    the same work is added to one scope several times, only the first canceller is used.

    `ICancellableDetails` lists what else a canceller may define.
    """

    def cancel() -> None:
        """Ask the work to stop, and return without waiting for its end.

        Called at most once, in the reactor's thread and in the context of the handler. If the scope
        has already been cancelled, ``track`` calls it before it returns. cancelweb may call it when
        the work is over; it must then do nothing. An exception that it raises is logged.
        """

    def when_settled() -> Deferred[Any]:
        """Return a Deferred that fires when the work has really ended, cancelled or not.

        Called once, before ``cancel``.

        Returns:
            A Deferred that fires once: with the work's result, or with its failure (a
            ``CancelledError`` if ``cancel`` stopped the work). If a handler returned the work,
            cancelweb uses the result as it would use that of a Deferred.
        """


class ICancellableDetails(Interface):
    """Optional attributes and methods of a canceller, besides `ICancellable`.

    Each of them is optional, and cancelweb finds it by its name. A canceller need not declare this
    interface. If one of them fails or has a wrong value, cancelweb logs that and ignores it.
    """

    clock = Attribute(
        "The scope's clock, an IReactorTime, for the canceller's own timers. None in a new "
        "canceller; cancelweb sets it before it calls cancel(), unless it is not None by then."
    )
    survivor_after = Attribute(
        "How many seconds the work may take to stop, or None. The scope waits for this time or its "
        "own survivor_after, whichever is longer. Read when cancel() has returned."
    )
    is_end_observable = Attribute(
        "False if nothing will tell when the work stops, so that when_settled() may never fire. "
        "The scope then waits no longer, and does not report the work as stopped. Read when "
        "cancel() has returned."
    )

    def where() -> str:
        """Describe where the work waits, such as ``render farm, job 17``.

        The report of a survivor and the status page show this text instead of the ``repr`` of the
        work. This method is called at any time, and often, so it must be fast.

        Returns:
            One or more lines of text, the innermost last.
        """

    def response_over() -> None:
        """Fire ``when_settled`` if nothing else will: the response is finished or lost.

        Called at most once, and never after the work was asked to stop. This is for work whose end
        shows in no other way; the scope then stops waiting for it.
        """


class MonitoredScope(Protocol):
    """A `Scope`, as a monitor sees it."""

    @property
    def request(self) -> Request | None:
        """The request."""

    @property
    def cause(self) -> Cause | None:
        """Why the scope was cancelled, or None."""

    @property
    def ended(self) -> Ended:
        """How the work has ended so far."""

    @property
    def would_have_cancelled(self) -> Cause | None:
        """The cause that a dry run, or the request's method, kept from cancelling the scope."""


class DetachedWork(Protocol):
    """Detached work, which goes on outside its request, as a monitor sees it.

    Attributes:
        clock (~twisted.internet.interfaces.IReactorTime | None): the clock to use while the work is
            being stopped. Set it before `cancel`.
    """

    @property
    def work(self) -> object:
        """The work that was detached."""

    clock: IReactorTime | None

    def describe(self) -> str:
        """Describe the work in a few words."""

    def where(self) -> str:
        """Describe where the work waits, in one or more lines, the innermost last."""

    def cancel(self) -> None:
        """Ask the work to stop."""


class IMonitor(Interface):
    """A monitor: the methods that an entry point calls, and the attributes that it reads.

    The methods are called in the reactor's thread and must not raise. Each request is reported
    once, in the order of these methods.
    """

    is_draining = Attribute("Whether new requests are answered 503, without running the handler.")
    retry_after = Attribute("How many whole seconds such a client is told to wait, 1 or more.")
    is_dry_run = Attribute(
        "Set to True when a CancellingResource with dry_run=True gets this monitor; for display."
    )

    def scope_opened(scope: MonitoredScope) -> None:  # noqa: N805 - an interface has no self
        """An entry point with this monitor has received a request.

        Args:
            scope: the scope of the request. Keep it until it has closed.
        """

    def scope_closed(scope: MonitoredScope) -> tuple[Observer, ...]:  # noqa: N805
        """A scope closes: its work has ended and its hooks have run.

        Args:
            scope: still has its ``request``, ``cause``, ``ended`` and ``would_have_cancelled``.

        Returns:
            The observers that receive the `Outcome`, besides those of the entry point.
        """

    def scope_withdrawn(scope: MonitoredScope) -> None:  # noqa: N805
        """Forget this scope: its request is rendered again, in another scope."""

    def work_survives(survivor: Survivor) -> None:  # noqa: N805
        """Work was asked to stop and is still running some seconds later.

        Args:
            survivor: describes the work. Keep it until the work has ended, which may be after its
                scope has closed.
        """

    def survivor_ended(survivor: Survivor) -> None:  # noqa: N805
        """A reported survivor has ended."""

    def work_let_go(let_go: LetGo) -> None:  # noqa: N805
        """A scope has stopped waiting for work that nothing can stop.

        Args:
            let_go: describes the work. Keep it until the work has ended, which may be after its
                scope has closed.
        """

    def let_go_ended(let_go: LetGo) -> None:  # noqa: N805
        """Work that was reported as let go has ended, or its end cannot be observed."""

    def work_detached(work: DetachedWork) -> None:  # noqa: N805
        """Work goes on outside its request, and a drain must wait for it.

        Args:
            work: the work; its ``cancel()`` asks it to stop. Keep it until it has ended.
        """

    def detached_work_ended(work: DetachedWork) -> None:  # noqa: N805
        """Detached work has ended, in whatever way. Called once for each."""

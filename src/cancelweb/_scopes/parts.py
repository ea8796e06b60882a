"""Protocols for the parts of a scope, as the parts see each other.

A scope has a life while it is open; the life has the work, the hooks and the record.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.internet.interfaces import IReactorTime

from .._kinds.cancellers import Canceller
from ..causes import Cause, Ended
from .gauge import Gauge
from .options import Options
from .states import Fate, State

if TYPE_CHECKING:
    from .rare import Rare
    from .work import Work

R = TypeVar("R")


class Life(Protocol):
    """The life of a scope, as its parts see it."""

    @property
    def has_asked(self) -> bool:
        """Whether any work was asked to stop; then every cancellation of work counts as ours."""

    @property
    def returned(self) -> object:
        """The work that the handler returned and that still runs; None if the scope started it."""

    def work_ended(self, work: Work, result: object) -> object:
        """Handle the end of work; returns the result for the next callback."""

    def work_survived(self, work: Work, seconds: float) -> Callable[[], object]:
        """Report a survivor, some seconds after it was asked; returns what to call at its end."""

    def expired(self, cause: Cause) -> None:
        """Handle a time limit that expired while the scope was RUNNING."""

    def leftover_asked(self, works: list[Work]) -> None:
        """Note leftover work that is about to be asked to stop; the request is not cancelled."""

    def ask_now(self) -> None:
        """Ask the work to stop, and answer a client that still waits."""

    def go_on(self) -> None:
        """Enter the next state, if there is nothing left to wait for."""


class Stopping(Protocol):
    """The work of a scope, as the scope sees it."""

    def adopt(
        self, canceller: Canceller, arrived: Callable[[Any], object], asked_at: float | None
    ) -> Work:
        """Take over the returned work that the scope watches itself; the scope goes on watching.

        Args:
            canceller: the canceller of the work.
            arrived: takes the result of the work.
            asked_at: when the scope asked the work to stop, or None.

        Returns:
            The work. The scope calls its ``settled`` at the end.
        """


class Limits(Protocol):
    """The time limits, as the scope sees them."""

    def take_on(self, options: Options) -> None:
        """Add the limits of an entry point to a RUNNING scope; they count from now."""

    def set_timeout(self, seconds: float | None) -> None:
        """Replace ``timeout``, counting from now; None removes it."""

    def stop(self) -> None:
        """Stop all limits, because the scope leaves RUNNING; idempotent."""

    def deadline(self, has_begun: bool) -> float | None:
        """When the limits cancel the scope, if nothing is written until then; or when they did.

        Any thread may call this.

        Args:
            has_begun: whether the response has begun, so that only ``total_timeout`` counts.
        """


class Subject(Protocol):
    """A scope, as its life and the parts of that see it.

    The parts refer to the scope only, which drops its life when it closes. So no cycle remains.
    """

    options: Options
    clock: IReactorTime
    _cause: Cause | None
    _request: Any
    state: State
    fate: Fate
    opened: float | None
    cancelled: float | None
    limits: Limits | None
    context: Context | None
    has_own_context: bool
    handler: object
    rare: Rare

    def own_rare(self) -> Rare:
        """`rare`, for the sole use of this scope, so that it may be changed."""

    @property
    def request(self) -> Any:
        """The request; None once the scope has closed."""

    @property
    def cause(self) -> Cause | None:
        """Why the scope was cancelled, or None."""

    @property
    def gauge(self) -> Gauge:
        """Reads the progress of the response."""

    @property
    def life(self) -> Life:
        """The life of the scope; made on demand."""

    @property
    def watched(self) -> object:
        """The piece of work that the scope watches itself and has not handed over, or None."""

    def hand_over(self, stopping: Stopping) -> None:
        """Hand the watched work over, if there is any, to be stopped with the rest."""

    @property
    def ended(self) -> Ended:
        """How the work has ended so far."""

    @property
    def would_have_cancelled(self) -> Cause | None:
        """The cause that a dry run, or the request's method, kept from cancelling the scope."""

    @property
    def is_in_call(self) -> bool:
        """Whether the handler's call has not returned yet."""

    @property
    def is_answered(self) -> bool:
        """Whether the response is finished, even if that was not reported yet."""

    @property
    def is_interruptible(self) -> bool:
        """Whether a disconnect or a time limit may cancel the request."""

    def answer_cancel(self, cause: Cause) -> None:
        """Answer a client that still waits, after the work was asked to stop."""

    def finished_early(self) -> None:
        """Note that the response is finished and work, or unknown code, may still run for it."""

    def catch_up(self, is_reported_by_now: bool = False) -> None:
        """Notice the end of a request that was not reported.

        Args:
            is_reported_by_now: whether a loss that was not reported yet never will be. If False,
                the caller may be a listener that Twisted calls before ours.
        """

    def answered_with(self) -> tuple[int | None, int]:
        """The status of the response, None if there was none; and how many bytes were written."""

    def end(self) -> None:
        """Drop the request and the life, because the scope has closed."""

"""The interface between scopes and the kinds of work: the `Canceller`.

Nothing here knows a kind of work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any, ClassVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ..interfaces import ICancellable
from .let_go import Unstopped
from .where import named

Settled = Callable[[Any], Any]
"""Called once, with a result or a `Failure`; returns what is left of it for the next callback."""


def drop(rest: object) -> None:
    """What is left of a result goes nowhere; see `Canceller.is_result_lost`."""


def global_reactor() -> Any:
    """The reactor that runs, for cancellers that were given no clock."""
    from twisted.internet import reactor

    return reactor


@implementer(ICancellable)
class Canceller:
    """What scopes know of a piece of work, whatever its kind.

    A scope calls `watch` first. To stop a batch of work it calls `reach` of all of it, and then
    `cancel` of each, in the same turn.

    Attributes:
        work: what is stopped: the Deferred, the timer, the user's job. Two cancellers are for the
            same work if they have the same object here.
        suspended: the coroutine or generator that the work is, or None; tells where it waits, and
            whether it is on the stack.
        clock: where time is taken from while the work is being stopped; None stands for the
            global reactor. A scope sets it before it calls `cancel`.
        survivor_after: how many seconds the work may take to stop, if that is more than the
            scope's own patience. Read after `cancel` has returned.
        is_ending: the work's own code is on its last function, and cannot be stopped any more.
        is_end_observable: False if the work was asked to stop and nothing will tell when it does:
            the scope waits no longer, and must not say that the work has stopped. Read after
            `cancel` has returned.
        is_result_lost: no other code sees what is left of the result once this has settled, so
            whoever is told then logs a failure.
    """

    work: object
    suspended: object = None
    clock: IReactorTime | None = None
    survivor_after: float | None = None
    is_ending: bool = False
    is_end_observable: bool = True
    is_result_lost: ClassVar[bool] = False

    def watch(self, settled: Settled) -> None:
        """Have ``settled`` called once, when the work has ended; at once, if it has already."""

    def reach(self, reached: set[int]) -> None:
        """Find what `cancel` has to reach, before any other work of the batch is asked.

        Args:
            reached: the ids of what is reached by the work that is asked before this; to be left
                to that. Adds its own.
        """

    def cancel(self) -> None:
        """Ask the work to stop, unless the cancel of other work in the batch reaches it."""

    def cancel_rest(self) -> None:
        """The work has ended with other work of its batch: stop what it had waited for besides."""

    def response_over(self) -> None:
        """Settle now, if this kind cannot tell when it ends: the response is over."""

    def unstopped(self) -> tuple[Unstopped, ...]:
        """What of the work was let go: nothing stops it. Read after `cancel` has returned."""
        return () if self.is_end_observable else (Unstopped(self.describe()),)

    def forget(self) -> None:
        """The scope closes, or the cancel of other work of a batch has ended this.

        A cancellation that no code has handled by now is no error.
        """

    def is_driven_now(self, seen: set[int]) -> bool:
        """Whether code for which the work waits is on the stack, where no cancel reaches it.

        Args:
            seen: the ids of what other work waits for, too, and was looked at. Adds its own.
        """
        return False

    def live_contexts(self) -> Iterable[Context]:
        """The contexts in which the coroutines and generators of the work run."""
        return ()

    def where(self) -> str:
        """Where the work waits, line by line, the innermost last; or else what it is."""
        return self.describe()

    def describe(self) -> str:
        """What the work is, in a few words."""
        return named(self.work)

    def when_settled(self) -> Deferred[Any]:
        """See `ICancellable.when_settled`."""
        done: Deferred[Any] = Deferred()

        def settled(result: Any) -> Any:
            done.callback(result)
            return None if isinstance(result, Failure) else result

        self.watch(settled)
        return done


@define(eq=False)
class OneShot(Canceller):
    """A canceller that is told of the end in more than one way, and passes on the first."""

    _settled: Settled | None = field(default=None, init=False, repr=False)

    def settle(self, result: object) -> object:
        """Pass on the result, the first time; returns what is left of it."""
        settled, self._settled = self._settled, None
        return None if settled is None else settled(result)

    def end_with(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> bool:
        """Call the work's last function, and settle if it raises.

        Returns:
            Whether it returned. Its exception goes on to the caller unless it was taken.
        """
        self.is_ending = True
        try:
            function(*args, **kwargs)
        except BaseException:
            failure = Failure()
            if self.settle(failure) is failure:
                raise
            return False
        return True

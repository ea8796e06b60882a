"""The interface between scopes and every kind of work: the `Canceller`.

Nothing here knows a particular kind of work.
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
"""Called once, with a result or a `Failure`. Returns what the next callback is to receive."""


def drop(rest: object) -> None:
    """Discard what is left of a result; see `Canceller.is_result_lost`."""


def global_reactor() -> Any:
    """The running reactor, for cancellers that were given no clock."""
    from twisted.internet import reactor

    return reactor


@implementer(ICancellable)
class Canceller:
    """A scope's view of a piece of work of any kind.

    A scope calls `watch` first. To stop a batch of work, it calls `reach` for each piece and then
    `cancel` for each piece, in the same turn.

    Attributes:
        work: what is stopped: the Deferred, the timer, the user's job. Two cancellers with the
            same object here stop the same work.
        suspended: the coroutine or generator that the work is, or None. It tells where the work
            waits, and whether it is on the stack.
        clock: measures time while the work is being stopped. None stands for the global reactor.
            A scope sets it before it calls `cancel`.
        survivor_after: seconds that the work may take to stop, if longer than the scope's own
            limit. Read after `cancel` has returned.
        is_ending: True once the work's last function runs; the work can no longer be stopped.
        is_end_observable: False if the work was asked to stop and nothing will tell when it does.
            The scope then stops waiting, and must not say that the work has stopped. Read after
            `cancel` has returned.
        is_result_lost: True if no other code sees what ``settled`` returns. The caller of
            `watch` then logs a failure.
    """

    work: object
    suspended: object = None
    clock: IReactorTime | None = None
    survivor_after: float | None = None
    is_ending: bool = False
    is_end_observable: bool = True
    is_result_lost: ClassVar[bool] = False

    def watch(self, settled: Settled) -> None:
        """Call ``settled`` once when the work has ended, or at once if it already has."""

    def reach(self, reached: set[int]) -> None:
        """Find what `cancel` has to reach, before any work of the batch is asked to stop.

        Args:
            reached: the ids of what other work of the batch already reaches. Leave those out, and
                add your own.
        """

    def cancel(self) -> None:
        """Ask the work to stop, unless the cancel of other work in the batch reaches it."""

    def cancel_rest(self) -> None:
        """Stop what the work still waits for, after the cancel of other work has ended it."""

    def response_over(self) -> None:
        """The response is over: settle now if this kind of work cannot tell when it ends."""

    def unstopped(self) -> tuple[Unstopped, ...]:
        """The parts of the work that were let go. Read after `cancel` has returned."""
        return () if self.is_end_observable else (Unstopped(self.describe()),)

    def forget(self) -> None:
        """Release the work: the scope closes, or the cancel of other work has ended this.

        From now on, a cancellation that no code handles is not an error.
        """

    def is_driven_now(self, seen: set[int]) -> bool:
        """Whether code that the work waits for is on the stack, where no cancel can reach it.

        Args:
            seen: the ids of what earlier calls for other work have looked at. Skip those, and add
                your own.
        """
        return False

    def live_contexts(self) -> Iterable[Context]:
        """The contexts in which the coroutines and generators of the work run."""
        return ()

    def where(self) -> str:
        """Where the work waits, line by line, the innermost last; if unknown, what the work is."""
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
    """A canceller whose end may be reported more than once; passes on the first report."""

    _settled: Settled | None = field(default=None, init=False, repr=False)

    def settle(self, result: object) -> object:
        """Pass on the first result, and return what is left of it; later calls return None."""
        settled, self._settled = self._settled, None
        return None if settled is None else settled(result)

    def end_with(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> bool:
        """Call the work's last function, and settle with a failure if it raises.

        Returns:
            Whether the function returned. Its exception is raised again unless ``settled`` took it.
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

"""What the package's own cancellers share: being told of the end without a Deferred for it.

Nothing here knows a kind of work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ._deferreds import is_cancellation
from ._log import log
from .interfaces import ICancellable

Settled = Callable[[Any], Any]
"""Called once, with a result or a `Failure`; returns what is left of it for whoever is next."""


def watch(cancellable: Any, settled: Settled) -> None:
    """Have ``settled`` called once, when the work has ended; at once, if it has already."""
    if isinstance(cancellable, Canceller):
        cancellable.watch(settled)
    else:
        cancellable.when_settled().addBoth(lambda result: log_rest(settled(result)))


def log_rest(rest: object) -> None:
    """Log a failure that nobody else will ever see."""
    if isinstance(rest, Failure) and not is_cancellation(rest):
        log.failure("tracked work failed", failure=rest)


def global_reactor() -> Any:
    """The reactor that runs, for cancellers that were given no clock."""
    from twisted.internet import reactor

    return reactor


@implementer(ICancellable)
@define(eq=False)
class Canceller:
    """What the cancellers below share: they tell of the end without a Deferred of their own.

    Attributes:
        clock: where time is taken from while the work is being stopped; None stands for the
            global reactor.
    """

    clock: IReactorTime | None = field(default=None, init=False, repr=False)

    def watch(self, settled: Settled) -> None:
        """Have ``settled`` called once, when the work has ended; at once, if it has already."""
        raise NotImplementedError

    def cancel(self) -> None:
        """See `ICancellable.cancel`."""
        raise NotImplementedError

    def arm(self) -> None:
        """Take note of how the work stands, before any work of its scope is asked to stop."""

    def response_over(self) -> None:
        """Settle now, if this kind cannot tell when it ends: the response is over."""

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
    """A canceller that is told of the end by more than one way, and passes on the first."""

    _settled: Settled | None = field(default=None, init=False, repr=False)

    def settle(self, result: object) -> object:
        """Pass on the result, the first time; returns what is left of it."""
        settled, self._settled = self._settled, None
        return None if settled is None else settled(result)

    def settle_with(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> bool:
        """Call the user's function and settle if it raises.

        Returns:
            Whether it returned. Its exception goes on to the caller unless it was taken.
        """
        try:
            function(*args, **kwargs)
        except BaseException:
            failure = Failure()
            if self.settle(failure) is failure:
                raise
            return False
        return True

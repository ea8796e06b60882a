"""Being told of the end of work, of any kind, without a Deferred for it where none is needed.

Nothing here knows a kind of work, but for Deferreds, which need no canceller beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from .._log import log
from ..interfaces import ICancellable
from .deferreds import as_deferred, is_cancellation

Settled = Callable[[Any], Any]
"""Called once, with a result or a `Failure`; returns what is left of it for whoever is next."""


def watch(canceller: Any, settled: Settled) -> None:
    """Have ``settled`` called once, when the work has ended; at once, if it has already."""
    if isinstance(canceller, Canceller):
        canceller.watch(settled)
    elif isinstance(canceller, Deferred):
        canceller.addCallbacks(settled, settled)
    else:
        _when_settled(canceller).addBoth(lambda result: log_rest(settled(result)))


def _when_settled(canceller: Any) -> Deferred[Any]:
    try:
        settled = as_deferred(canceller.when_settled())
        if settled is None:
            raise TypeError(f"when_settled() of {canceller!r} must return a Deferred")
    except BaseException:
        # The end of this work will never be told: the fault is all that came of it.
        settled = fail(Failure())
    return settled


def log_rest(rest: object) -> None:
    """Log a failure that nobody else will ever see."""
    if isinstance(rest, Failure) and not is_cancellation(rest):
        log.failure("tracked work failed", failure=rest)


def global_reactor() -> Any:
    """The reactor that runs, for cancellers that were given no clock."""
    from twisted.internet import reactor

    return reactor


@implementer(ICancellable)
class Canceller:
    """What the package's own cancellers share.

    Attributes:
        clock: where time is taken from while the work is being stopped; None stands for the
            global reactor.
        is_ending: the work's own code is on its last function, and cannot be stopped any more.
    """

    clock: IReactorTime | None = None
    is_ending: bool = False

    def watch(self, settled: Settled) -> None:
        """Have ``settled`` called once, when the work has ended; at once, if it has already."""

    def cancel(self) -> None:
        """See `ICancellable.cancel`."""

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

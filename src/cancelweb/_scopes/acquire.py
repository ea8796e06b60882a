"""Awaiting a resource so that it is not lost when it arrives too late.

Knows no scope; the scope tracks an acquisition as it tracks any other work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from .._kinds.cancellations import forgive
from .._kinds.cancellers import Canceller, Settled, drop
from .._kinds.registry import find_canceller


@define(eq=False)
class Acquisition(Canceller):
    """One resource on its way.

    Attributes:
        source: the canceller of what comes to the resource. Nobody calls it: Twisted drops the
            late result of a cancelled Deferred that has no canceller, and with it whatever was
            acquired.
        release: called with what has come too late.
        arrived: what the user awaits.
    """

    source: Canceller
    release: Callable[[Any], object]
    is_result_lost = True
    arrived: Deferred[Any] = field(init=False)
    _settled: Deferred[None] = field(init=False, factory=Deferred)

    @property
    def work(self) -> object:  # type: ignore[override]
        """Itself: to detach what the user awaits must not lose the resource."""
        return self

    def __attrs_post_init__(self) -> None:
        if not callable(self.release):
            raise TypeError(f"release must be callable with the resource, not {self.release!r}")
        # A canceller that does nothing: the Deferred then fails with CancelledError by itself.
        self.arrived = Deferred(lambda _: None)

    def start(self) -> Deferred[Any]:
        """Begin to wait; returns what the user awaits."""
        self.source.watch(self._arrived)
        return self.arrived

    def watch(self, settled: Settled) -> None:
        """See `Canceller.watch`; settled after a late arrival has been released, too."""
        self._settled.addBoth(lambda result: drop(settled(result)))

    def cancel(self) -> None:
        """See `Canceller.cancel`."""
        self.arrived.cancel()

    def where(self) -> str:
        """See `Canceller.where`."""
        return self.source.where()

    def describe(self) -> str:
        """See `Canceller.describe`."""
        return f"acquired {self.source.describe()}"

    def forget(self) -> None:
        """The scope closes. A cancellation that nobody has handled by now is no error."""
        forgive(self.arrived)

    def _arrived(self, result: Any) -> None:
        if not self.arrived.called:
            self.arrived.callback(result)
            self._settled.callback(None)
        elif isinstance(result, Failure):
            self._settled.callback(result)
        else:
            self._release(result)

    def _release(self, resource: Any) -> None:
        try:
            releasing = find_canceller(self.release(resource))
        except BaseException:
            self._released(Failure())
            return
        if releasing is None:
            self._released(None)
        else:
            releasing.watch(self._released)

    def _released(self, result: Any) -> None:
        failed = isinstance(result, Failure)
        self._settled.callback(result if failed else Failure(CancelledError()))

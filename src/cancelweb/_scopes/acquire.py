"""Acquire a resource, such as a connection, without losing it if it arrives after the cancel.

An acquisition knows no scope; the scope tracks it like any other work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from .._checks import check_function
from .._kinds.cancellations import forgive
from .._kinds.cancellers import Canceller, Settled, drop
from .._kinds.registry import find_canceller


@define(eq=False)
class Acquisition(Canceller):
    """The acquisition of one resource.

    Attributes:
        source: the canceller of the work that yields the resource. Its ``cancel`` is never called:
            Twisted drops the late result of a cancelled Deferred that has no canceller, and with it
            the resource.
        release: called with a resource that arrives too late.
        arrived: the Deferred that the user awaits.
    """

    source: Canceller
    release: Callable[[Any], object]
    is_result_lost = True
    arrived: Deferred[Any] = field(init=False)
    _settled: Deferred[None] = field(init=False, factory=Deferred)

    @property
    def work(self) -> object:  # type: ignore[override]
        """The acquisition itself, so that it stays tracked if the user detaches `arrived`."""
        return self

    def __attrs_post_init__(self) -> None:
        check_function("release", self.release)
        # The canceller does nothing, so the Deferred fails with CancelledError by itself.
        self.arrived = Deferred(lambda _: None)

    def start(self) -> Deferred[Any]:
        """Begin to wait for the resource; returns the Deferred that the user awaits."""
        self.source.watch(self._arrived)
        return self.arrived

    def watch(self, settled: Settled) -> None:
        """See `Canceller.watch`: settles after a resource that arrives late has been released."""
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
        """See `Canceller.forget`: an unhandled cancellation is not logged."""
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

"""Awaiting a resource so that it is not lost when it arrives too late.

Knows no scope; the scope tracks an acquisition as it tracks any other work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from .._kinds.cancellers import watch
from .._kinds.deferreds import forgive
from .._kinds.registry import find_canceller
from ..interfaces import ICancellable


@implementer(ICancellable)
@define(eq=False)
class Acquisition:
    """One resource on its way.

    Attributes:
        source: the canceller of what comes to the resource. Nobody calls it: Twisted drops the
            late result of a cancelled Deferred that has no canceller, and with it whatever was
            acquired.
        release: called with what has come too late.
        arrived: what the user awaits.
    """

    source: Any
    release: Callable[[Any], object]
    arrived: Deferred[Any] = field(init=False)
    _settled: Deferred[None] = field(init=False, factory=Deferred)

    def __attrs_post_init__(self) -> None:
        # A canceller that does nothing: the Deferred then fails with CancelledError by itself.
        self.arrived = Deferred(lambda _: None)

    def start(self) -> Deferred[Any]:
        """Begin to wait; returns what the user awaits."""
        watch(self.source, self._arrived)
        return self.arrived

    def cancel(self) -> None:
        """See `ICancellable.cancel`."""
        self.arrived.cancel()

    def when_settled(self) -> Deferred[Any]:
        """See `ICancellable.when_settled`: after a late arrival has been released, too."""
        return self._settled

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
            watch(releasing, self._released)

    def _released(self, result: Any) -> None:
        failed = isinstance(result, Failure)
        self._settled.callback(result if failed else Failure(CancelledError()))

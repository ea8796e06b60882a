"""A canceller with all optional details, for the jobs of a render farm."""

from twisted.internet.defer import Deferred
from twisted.python.components import registerAdapter
from zope.interface import implementer

from cancelweb import ICancellable


class RenderJob:
    """Your own code: a job on another machine. Old nodes do not report the end of a job."""

    def __init__(self, number: int, node: str, reports: bool = True) -> None:
        self.number, self.node, self.reports = number, node, reports
        self.orders: list[str] = []
        self.ended: Deferred[bytes] = Deferred()

    def order(self, order: str) -> None:
        """Send an order to the node."""
        self.orders.append(order)


@implementer(ICancellable)
class RenderJobCanceller:
    # cancelweb sets this to the clock of the scope before it calls cancel().
    clock = None
    # A frame that is being rendered takes up to 20 s to stop.
    survivor_after = 25

    def __init__(self, job: RenderJob) -> None:
        self._job = job
        self._settled: Deferred[bytes] = Deferred()
        job.ended.chainDeferred(self._settled)
        # After cancel(), only a node that reports can say whether the job has stopped.
        self.is_end_observable = job.reports

    def cancel(self) -> None:
        self._job.order("abort")
        kill = self.clock.callLater(20, self._job.order, "kill")
        self._settled.addBoth(lambda result: (kill.active() and kill.cancel(), result)[1])

    def when_settled(self) -> Deferred[bytes]:
        return self._settled

    def where(self) -> str:
        return f"render farm, job {self._job.number} on {self._job.node}"

    def response_over(self) -> None:
        # The response is over: do not wait for a report that will never come.
        if not self._job.reports:
            self._settled.callback(b"")


registerAdapter(RenderJobCanceller, RenderJob, ICancellable)

"""A kind of work that cancelweb does not know, and a canceller that knows how to stop it.

Run it::

    PYTHONPATH=examples twist web --class=canceller.Simulations

`curl http://localhost:8080/` gets its answer after two seconds. Interrupt it before: the log says
that the job was stopped.
"""

from threading import Event

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread
from twisted.python.components import registerAdapter
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from zope.interface import implementer

from cancelweb import ICancellable, cancel_on_disconnect


class Job:
    """Your own code: it runs in a thread, and ends soon after `abort` is set."""

    def __init__(self) -> None:
        self.abort = Event()
        self.ended: Deferred[bytes] = deferToThread(self._run)

    def _run(self) -> bytes:
        for _ in range(20):
            if self.abort.wait(0.1):
                raise CancelledError
        return b"42\n"


@implementer(ICancellable)
class JobCanceller:
    """Knows how to stop a Job, and when it has ended."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def cancel(self) -> None:
        self._job.abort.set()

    def when_settled(self) -> Deferred[bytes]:
        return self._job.ended


registerAdapter(JobCanceller, Job, ICancellable)


class Simulations(Resource):
    isLeaf = True

    @cancel_on_disconnect
    def render_GET(self, request: IRequest) -> ICancellable:
        return ICancellable(Job())

"""How cancelweb stops a job of RQ. `rq_report.py` registers and uses this canceller."""

from rq import Queue
from rq.command import send_stop_job_command
from rq.job import Job
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from cancelweb import ICancellable, threads


@implementer(ICancellable)
class JobCanceller:
    """Queues a job, looks until it has ended, and knows how to stop it."""

    def __init__(self, job: Job) -> None:
        # RQ makes the id when it is first read. Two threads would make two.
        self._job, self._id = job, job.id
        self._queue = Queue(job.origin, connection=job.connection)
        self._must_stop, self._seconds, self._pause = False, 0.02, succeed(None)

    def cancel(self) -> None:
        self._must_stop, self._seconds = True, 0.02
        self._pause.cancel()

    def when_settled(self) -> Deferred[object]:
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> object:
        # This refuses for a client that has left. `deferToThread` does not: it looks on.
        await threads.defer_to_thread(self._enqueue)
        while not await deferToThread(self._has_ended):
            self._pause = deferLater(reactor, self._seconds).addErrback(lambda _: None)
            self._seconds = min(1.5 * self._seconds, 0.5)
            await self._pause
        return await deferToThread(self._job.return_value)

    def _enqueue(self) -> None:
        if self._must_stop:
            raise CancelledError
        self._queue.enqueue_job(self._job)

    def _has_ended(self) -> bool:
        if self._must_stop and self._queue.remove(self._id):
            self._job.delete()
            raise CancelledError  # No worker has taken the job, and none will.
        status = self._job.get_status()
        # A worker that is free takes the next job: others that must stop leave the queue first.
        if self._must_stop and status == "started" and self._seconds > 0.02:
            send_stop_job_command(self._job.connection, self._id)
            self._must_stop = False  # A second command could kill the worker itself.
        if status == "stopped":
            raise CancelledError
        if status in ("failed", "canceled"):
            raise RuntimeError(getattr(self._job.latest_result(), "exc_string", status))
        return status == "finished"

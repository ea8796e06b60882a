"""A program that a worker of RQ runs, on any machine, and that stops with its client.

Start Redis on this machine or at `$REDIS_URL`, and a worker with ``rq worker reports``. Run it::

    PYTHONPATH=examples twist web --class=rq_report.Report

`curl http://localhost:8080/` gets its answer after five seconds. Interrupt it: the worker logs that
it has killed the job, and the server that the job has stopped. Start no worker and interrupt it:
the job is gone from the queue.
"""

import os

from redis import Redis
from rq import Queue
from rq.job import Job
from rq_canceller import JobCanceller
from twisted.python.components import registerAdapter
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import ICancellable, cancel_on_disconnect

redis = Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost"), socket_timeout=5)
queue = Queue("reports", connection=redis)
registerAdapter(JobCanceller, Job, ICancellable)

PROGRAM = ["sh", "-c", "sleep 5; uptime"]


class Report(Resource):
    """Answers with the output of the program."""

    isLeaf = True

    @cancel_on_disconnect(timeout=60)
    def render_GET(self, request: IRequest) -> ICancellable:
        """Return a job that is not in its queue yet: the canceller puts it there."""
        # After these seconds RQ ends, or forgets, what a server that was killed has left behind.
        job = queue.create_job(
            "subprocess.check_output",
            (PROGRAM,),
            timeout=60,
            ttl=60,
            result_ttl=60,
            failure_ttl=60,
        )
        return ICancellable(job)

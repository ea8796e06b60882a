"""A slow report that a Celery worker makes, and that stops when its client leaves.

Run a Redis, a worker, and this server::

    redis-server --port 6379
    PYTHONPATH=examples celery -A celery_report worker --loglevel INFO
    PYTHONPATH=examples twist web --class=celery_report.Reports

`curl http://localhost:8080/7` takes some seconds. Interrupt it: the worker logs that the report has
stopped. A report that has not begun never does. Without Redis the answer is 503, at once.
"""

import os
import time

from celery import Celery
from celery.contrib.abortable import AbortableTask
from celery.utils.log import get_task_logger
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect
from cancelweb.celery import Calls

REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
log = get_task_logger(__name__)

app = Celery("reports", broker=REDIS, backend=REDIS)
calls = Calls(app)


@app.task(bind=True, base=AbortableTask)
def report(self: AbortableTask, number: int) -> str:
    """Work in a process of the worker, and look between two steps whether to stop."""
    log.info("report %s begins", number)
    for step in range(100):
        if self.is_aborted():
            log.info("report %s has stopped after %s steps", number, step)
            return ""
        time.sleep(0.05)
    return f"The report of {number}.\n"


class Reports(Resource):
    """Shows the report of any number."""

    isLeaf = True

    @cancel_on_disconnect(timeout=60)
    async def render_GET(self, request: IRequest) -> bytes:
        """Wait for the worker's report."""
        postpath: list[bytes] = request.postpath
        text: str = await calls.run(report.s(int(postpath[0])))
        return text.encode()

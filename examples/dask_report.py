"""A report that a Dask cluster computes: when its client leaves, the workers stop.

Start a scheduler and two workers. All of them import this module::

    PYTHONPATH=examples dask scheduler
    PYTHONPATH=examples dask worker --nworkers 2 --nthreads 1 tcp://127.0.0.1:8786

Then run the server::

    PYTHONPATH=examples twist web --class=dask_report.Report

`curl http://localhost:8080/2026` takes some seconds. Interrupt it: the worker is idle at once, and
the server's log says that the report has stopped.
"""

import os
import time

from distributed import Client
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import cancel_on_disconnect
from cancelweb.dask import Calls, check

SCHEDULER = os.environ.get("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:8786")


def busy_days(year: int) -> int:
    """Count, on a worker, the days of a year on which there was much to do."""
    busy = 0
    for day in range(365):
        # Raises once no request wants the result. It asks nothing over the network.
        check()
        time.sleep(0.01)
        busy += (year * day) % 7 < 3
    return busy


class Report(Resource):
    """One line about a year."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        # Waits for the scheduler once, before the server runs. Its requests never do.
        self.calls = Calls(Client(SCHEDULER, timeout=10))

    @cancel_on_disconnect(timeout=60)
    async def render_GET(self, request: Request) -> bytes:
        """Wait for a worker's result."""
        return b"%d busy days\n" % await self.calls.run(busy_days, int(request.path[1:]))

"""The Celery application of `wasted_work`, for its workers and for its web server."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.contrib.abortable import AbortableTask
from engine_jobs import ADDRESS, job

app: Any = Celery("engine_celery", broker=os.environ[ADDRESS], backend=os.environ[ADDRESS])


@app.task(bind=True, base=AbortableTask)
def looks(self: Any, directory: str, seconds: float) -> None:
    """A job that ends when it is told so."""
    job(directory, seconds, self.is_aborted)


@app.task
def never_looks(directory: str, seconds: float) -> None:
    """A job that cannot be told."""
    job(directory, seconds)

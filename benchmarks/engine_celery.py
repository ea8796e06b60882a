"""The Celery application of `wasted_work`, for its workers and for its web server."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.contrib.abortable import AbortableTask
from engine_jobs import ADDRESS, job

app: Any = Celery("engine_celery", broker=os.environ[ADDRESS], backend=os.environ[ADDRESS])


def until_aborted(task: Any, directory: str, seconds: float) -> None:
    """Run a job that ends when its task is aborted."""
    job(directory, seconds, task.is_aborted)


# Celery is not typed: as decorators, these would hide the types of the functions.
looks: Any = app.task(bind=True, base=AbortableTask)(until_aborted)
never_looks: Any = app.task(job)

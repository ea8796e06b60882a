"""A Celery app for tests, and its tasks: the worker imports this module, and so do the tests.

What belongs here: the tasks, which say in the worker's log what they do. What does not: workers,
which `_worker` starts.
"""

import os
import time
from typing import Any

from celery import Celery
from celery.contrib.abortable import AbortableTask
from celery.exceptions import SoftTimeLimitExceeded
from kombu.transport.memory import Transport

_STEP = 0.02
LONGEST = 60
"""Seconds after which a task ends by itself: no test waits for that."""


class Deaf(Transport):
    """A broker without commands to all workers, as SQS is by default."""

    implements = Transport.implements.extend(exchange_type=frozenset(["direct"]))


class Refused(Exception):
    """What a task raises."""


def make_app(url: str, **conf: Any) -> Any:
    """Make the app, with its tasks, for the Redis at a URL."""
    app = Celery("tests", broker=url, backend=url, set_as_current=False)
    app.conf.update(worker_hijack_root_logger=True, **conf)
    app.task(name="add")(_add)
    app.task(name="fail")(_fail)
    app.task(name="ignored", ignore_result=True)(_add)
    app.task(name="look", bind=True, base=AbortableTask)(_look)
    app.task(name="report", bind=True, base=AbortableTask)(_report)
    app.task(name="sleep")(_sleep)
    app.task(name="look_tracked", bind=True, base=AbortableTask, track_started=True)(_look)
    app.task(name="sleep_tracked", track_started=True)(_sleep)
    app.task(name="endure")(_endure)
    return app


def _add(first: int, second: int) -> int:
    print(f"add {first} {second}", flush=True)
    return first + second


def _fail(text: str) -> None:
    raise Refused(text)


def _look(self: Any, name: str) -> str:
    """Run until the task is aborted."""
    print(f"{name} begins", flush=True)
    latest = time.monotonic() + LONGEST
    while not self.is_aborted() and time.monotonic() < latest:
        time.sleep(_STEP)
    print(f"{name} ends", flush=True)
    return name


def _report(self: Any, name: str) -> str:
    """Tell progress, which overwrites the abort flag, and look only between."""
    print(f"{name} begins", flush=True)
    latest = time.monotonic() + LONGEST
    while time.monotonic() < latest:
        self.update_state(state="PROGRESS", meta={})
        time.sleep(0.7)
        if self.is_aborted():
            break
    print(f"{name} ends", flush=True)
    return name


def _sleep(name: str, seconds: float) -> str:
    """Never look, and end after a while."""
    print(f"{name} begins", flush=True)
    time.sleep(seconds)
    print(f"{name} ends", flush=True)
    return name


def _endure(name: str, seconds: float) -> str:
    """Go on for a while after SoftTimeLimitExceeded."""
    print(f"{name} begins", flush=True)
    try:
        time.sleep(LONGEST)
    except SoftTimeLimitExceeded:
        print(f"{name} goes on", flush=True)
        time.sleep(seconds)
    print(f"{name} ends", flush=True)
    return name


if URL := os.environ.get("TESTS_CELERY_URL"):
    app = make_app(URL)

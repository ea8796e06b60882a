"""The jobs of `wasted_work` that run in other processes: how a web server hands them over.

With cancelweb, and as a handler of Twisted does without. What does not belong here: the engines,
what becomes of a job when its client leaves, and counting. It imports an engine only where that
engine is used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import engine_jobs
from attrs import frozen
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.web.server import Request

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

EXAMPLES = Path(__file__).parents[1] / "examples"

Work = Callable[[Request], Any]


@frozen
class Setting:
    """What a web server is given.

    Attributes:
        ours: whether it uses cancelweb.
        seconds: how long a job takes.
        clients: how many ask at once.
        slots: how many jobs the engine runs at once.
        directory: where the jobs leave their notes.
        address: where the engine is.
    """

    ours: bool
    seconds: float
    clients: int
    slots: int
    directory: str
    address: str

    @property
    def arguments(self) -> tuple[str, float]:
        """Those of a job."""
        return self.directory, self.seconds


@frozen
class Kind:
    """A job in an engine.

    Attributes:
        engine: which; it is started by `engine_workers`.
        work: makes the render method.
        survives: whether a job that runs can neither look nor be killed.
    """

    engine: str
    work: Callable[[Setting], Work]
    survives: bool = False


def in_thread(wait: Callable[[], object], cancel: Callable[[], object]) -> Deferred[bytes]:
    """Wait in a thread; cancelled, cancel the job as its engine does."""
    waiting = cancelled_by(cancel)
    deferToThread(wait).addCallback(lambda _: b"done\n").chainDeferred(waiting)
    return waiting


def cancelled_by(cancel: Callable[[], object]) -> Deferred[bytes]:
    """A Deferred with this canceller."""

    def canceller(_: object) -> None:
        cancel()

    return Deferred(canceller)


def celery_that_looks(setting: Setting) -> Work:
    """A task that looks whether it has been aborted."""
    from engine_celery import looks

    return celery(setting, looks, None, lambda result: result.abort())


def celery_that_is_terminated(signal: str) -> Callable[[Setting], Work]:
    """A task that never looks, and gets a signal."""

    def work(setting: Setting) -> Work:
        from engine_celery import never_looks

        def cancel(result: Any) -> None:
            result.revoke(terminate=True, signal=signal)

        return celery(setting, never_looks, signal, cancel)

    return work


def celery_that_survives(setting: Setting) -> Work:
    """A task that never looks, and gets no signal."""
    from engine_celery import never_looks

    return celery(setting, never_looks, None, lambda result: result.revoke())


def celery(
    setting: Setting, task: Any, terminate: str | None, cancel: Callable[[Any], object]
) -> Work:
    """A task of Celery."""
    if setting.ours:
        from cancelweb.celery import Calls

        calls = Calls(task.app, terminate=terminate)
        return lambda request: calls.run(task.s(*setting.arguments))

    def theirs(request: Request) -> Deferred[bytes]:
        result = task.delay(*setting.arguments)
        return in_thread(result.get, lambda: cancel(result))

    return theirs


def dask(setting: Setting) -> Work:
    """A task of Dask, which with cancelweb can look whether it is still wanted."""
    from distributed import Client

    client = Client(scheduler_file=setting.address, set_as_default=False)
    if setting.ours:
        from cancelweb.dask import Calls, check

        calls = Calls(client)
        return lambda request: calls.run(engine_jobs.job, *setting.arguments, check, pure=False)

    def theirs(request: Request) -> Deferred[bytes]:
        future = client.submit(engine_jobs.job, *setting.arguments, pure=False)
        return in_thread(future.result, future.cancel)

    return theirs


def rq(setting: Setting) -> Work:
    """A job of RQ, with cancelweb as the example runs it."""
    if setting.ours:
        sys.path.append(str(EXAMPLES))
        os.environ["REDIS_URL"] = setting.address
        from rq_report import queue as reports

        from cancelweb import ICancellable

        return lambda request: ICancellable(reports.create_job(engine_jobs.job, setting.arguments))
    from redis import Redis
    from rq import Queue

    queue = Queue("reports", connection=Redis.from_url(setting.address))

    def theirs(request: Request) -> Deferred[bytes]:
        queued = queue.enqueue(engine_jobs.job, *setting.arguments)
        return in_thread(lambda: queued.latest_result(timeout=3600), queued.cancel)

    return theirs


def pool(setting: Setting) -> Work:
    """A call in a pool of processes on this machine."""
    if setting.ours:
        from cancelweb.processes import Pool

        ours = Pool(setting.slots)
        return lambda request: ours.call(engine_jobs.job, *setting.arguments)
    executor = ProcessPoolExecutor(setting.slots, mp_context=get_context("spawn"))

    def theirs(request: Request) -> Deferred[bytes]:
        call = executor.submit(engine_jobs.job, *setting.arguments)
        waiting = cancelled_by(call.cancel)
        call.add_done_callback(lambda call: reactor.callFromThread(settle, waiting, call))
        return waiting

    return theirs


def settle(waiting: Deferred[bytes], call: Future[None]) -> None:
    """Pass on what a call has come to."""
    if waiting.called:
        return
    try:
        call.result()
    except BaseException:
        waiting.errback(Failure())
    else:
        waiting.callback(b"done\n")


KINDS: dict[str, Kind] = {
    "Celery, tasks that look": Kind("Celery", celery_that_looks),
    "Celery, SIGUSR1": Kind("Celery", celery_that_is_terminated("SIGUSR1")),
    "Celery, SIGTERM": Kind("Celery", celery_that_is_terminated("SIGTERM")),
    "Celery, tasks that never look": Kind("Celery", celery_that_survives, survives=True),
    "Dask, tasks that look": Kind("Dask", dask),
    "RQ": Kind("RQ", rq),
    "process pool": Kind("process pool", pool),
}

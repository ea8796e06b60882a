"""Run Celery tasks for requests whose clients may leave (job queue, task queue).

The class to use. `_engines.celery_calls` has the calls under way.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads

from ._checks import check_limit, shown
from ._scopes.refusal import begin
from ._scopes.scope import Scope
from ._scopes.shield import tracker_here
from ._scopes.states import RUNNING
from ._stoppable.reactors import reactor_for

try:
    from celery import Celery
    from celery.backends.redis import RedisBackend
    from celery.canvas import Signature

    from ._engines.celery_call import Lost
    from ._engines.celery_calls import CallsUnderWay
    from ._engines.celery_messages import Messages
except ImportError as error:
    raise ImportError(
        "cancelweb.celery needs Celery 5.7 and redis: pip install 'cancelweb[celery]'",
        name=error.name,
    ) from error

__all__ = ["Calls", "Lost"]

SIGNALS = ("SIGTERM", "SIGUSR1")


class Calls:
    """Runs tasks of a Celery app, and stops those whose requests are cancelled.

    Make one for each app, and use it for all requests. It starts five threads with the first task,
    however many tasks there are, and never blocks the reactor.

    Args:
        app: the Celery app, with Redis as its result backend.
        terminate: the signal for the processes that run tasks which are given up: ``"SIGUSR1"``,
            which raises ``SoftTimeLimitExceeded`` in the task, or ``"SIGTERM"``, which ends the
            process. None for none; tasks are then told through their abort flag alone. Celery warns
            that the process may have begun another task when the signal arrives.
        lost_after: how many seconds a broker or a worker may be silent before it counts as lost,
            more than 0.

    Raises:
        TypeError: an argument has a wrong type.
        ValueError: an argument has a wrong value, the app's result backend is not Redis, or its
            broker cannot reach workers with commands.
    """

    def __init__(
        self, app: Celery, *, terminate: str | None = None, lost_after: float = 3.0
    ) -> None:
        _check_app(app)
        if terminate is not None and terminate not in SIGNALS:
            raise ValueError(f"terminate must be one of {SIGNALS}, or None, not {shown(terminate)}")
        check_limit("lost_after", lost_after)
        self._app, self._terminate = app, terminate
        self._messages = Messages(app, lost_after)
        self._under_way: CallsUnderWay | None = None

    def run(self, signature: Signature) -> Deferred[Any]:
        """Run a task, and wait for its result.

        The worker gets the scope's remaining time (`cancelweb.Scope.remaining`) as ``expires``,
        unless the task or its signature has one.

        Args:
            signature: one task with its arguments, such as ``report.s(7)``. Chains, groups and
                chords are refused: run their tasks one by one.

        Returns:
            A Deferred that fires with what the task returned, or fails with its exception. The
            worker's traceback is a note of the exception. If it is cancelled, a task that no worker
            has begun never runs. A task that runs is told through its abort flag, and sent the
            signal, if any. The Deferred then fires when the task has really ended: with whatever it
            raised, or with ``CancelledError`` in place of what it returned. It fails with `Lost` if
            the task's worker no longer answers, and with `cancelweb.Unavailable` if the broker or
            the result backend cannot be reached. In a cancelled scope it fails with
            `cancelweb.StartRefused`, except during cleanup: see `cancelweb.cleaning`.

        Raises:
            TypeError: this is not the signature of a single task.
            ValueError: the task ignores its result.
            RuntimeError: ``task_always_eager`` is set.
        """
        _check_signature(signature)
        if self._app.conf.task_always_eager:
            raise RuntimeError(
                "task_always_eager is set, so the task would run in this process, where nothing "
                "can stop it. Unset it, or replace these Calls in your tests"
            )
        return begin("a Celery task", self._start, signature)

    def _start(self, signature: Signature) -> Deferred[Any]:
        if self._under_way is None:
            reactor = reactor_for(None, IReactorThreads)
            self._under_way = CallsUnderWay.make(reactor, self._messages, self._terminate)
        task_id = signature.options.get("task_id") or str(uuid4())
        return self._under_way.start(signature, task_id, _expires(signature))


def _check_app(app: Any) -> None:
    if not isinstance(app, Celery):
        raise TypeError(f"app must be a Celery app, not {shown(app)}")
    if not isinstance(app.backend, RedisBackend):
        uri = app.backend.as_uri()
        raise ValueError(
            f"the app's result backend must be Redis, not {uri}. Set result_backend to the address "
            "of a Redis, such as 'redis://localhost/1'"
        )
    connection = app.connection_for_write()
    if not connection.supports_exchange_type("fanout"):
        raise ValueError(
            f"the app's broker, {connection.as_uri()}, cannot send a command to all workers, so "
            "nothing could stop a task. Use Redis or RabbitMQ"
        )


def _check_signature(signature: Any) -> None:
    if not isinstance(signature, Signature):
        raise TypeError(
            f"signature must be that of a task, such as report.s(7), not {shown(signature)}"
        )
    if signature.subtask_type is not None:
        raise TypeError(
            f"signature must be that of a single task, not a {signature.subtask_type}, whose tasks "
            "cannot all be stopped. Run each task with a call of its own"
        )
    if signature.options.get("ignore_result", signature.type.ignore_result):
        raise ValueError(
            f"{signature.task} ignores its result (ignore_result), so nothing would tell when it "
            "has ended. Set ignore_result=False on the task, or on the signature with .set()"
        )


def _expires(signature: Any) -> float | None:
    """The time that is left to the scope, unless the task has a limit of its own."""
    tracker = tracker_here()
    is_set = signature.options.get("expires", signature.type.expires) is not None
    if is_set or not isinstance(tracker, Scope) or tracker.state is not RUNNING:
        return None
    remaining = tracker.remaining()
    return None if remaining is None else max(remaining, 0.001)

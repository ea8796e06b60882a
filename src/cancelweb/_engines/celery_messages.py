"""Messages to Celery's broker and its result backend. Every function here blocks.

Each thread has a broker connection of its own. All share one result backend: the one that Celery
makes for the thread that publishes, because publishing a task subscribes to its result there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from attrs import define, field
from celery import states
from celery.contrib.abortable import ABORTED
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from .._unavailable import Unavailable
from .celery_answers import Answers, Pool, Stage, held_in, pool_in, result_of
from .celery_commands import Commands

_BATCH = 50
"""How many tasks one message gives up."""

_READ = 1.0
"""Seconds after which the thread that reads results looks whether it is still needed."""

_ENDED = {states.SUCCESS, states.FAILURE}
"""What only the process that ran a task writes, or its worker when that process has ended. A worker
that does not run a task writes REVOKED for it, whether another one runs it or not."""

_UNREADABLE = {"status": states.PENDING}
"""In place of what cannot be decoded. The abort flag may overwrite it."""


@define(eq=False)
class Messages:
    """The messages of one Celery app.

    Attributes:
        app: the app.
        lost_after: how many seconds a silent server is waited for.
    """

    app: Any
    lost_after: float
    _commands: Commands = field(init=False)
    _backend: Any = field(default=None, init=False)
    _of_thread: threading.local = field(factory=threading.local, init=False)

    def __attrs_post_init__(self) -> None:
        self._commands = Commands(self.app)

    # --- connections ---

    @contextmanager
    def _broker(self) -> Iterator[Any]:
        """This thread's connection, which is dropped if anything goes wrong."""
        connection = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = self._connect()
        try:
            yield connection
        except BaseException as error:
            self._of_thread.connection = None
            connection.release()
            if isinstance(error, (OperationalError, *connection.recoverable_connection_errors)):
                raise Unavailable("Celery's broker", str(error)) from error
            raise

    def _connect(self) -> Any:
        """Make a connection that fails at once, after one attempt for each broker of a list."""
        plain = self.app.connection_for_write()
        options = {
            "max_retries": max(len(plain.alt) - 1, 0),
            "connect_retries_timeout": self.lost_after,
        }
        if plain.transport.driver_type == "redis":
            options |= dict.fromkeys(("socket_timeout", "socket_connect_timeout"), self.lost_after)
        return self.app.connection_for_write(
            connect_timeout=self.lost_after, transport_options=options
        )

    @contextmanager
    def _results(self) -> Iterator[Any]:
        try:
            yield self._backend
        except RuntimeError as error:
            # Celery's reader of results raises it after its attempts to reconnect.
            raise Unavailable("Celery's result backend", str(error.__cause__ or error)) from error
        except self._backend.connection_errors as error:
            raise Unavailable("Celery's result backend", str(error)) from error

    def _open(self) -> None:
        """Make the result backend of this thread, and let it fail rather than try again."""
        if self._backend is not None:
            return
        backend = self.app.backend
        backend.retry_policy = {**backend.retry_policy, "max_retries": 0}
        backend.always_retry = False
        backend.connparams["retry"] = Retry(NoBackoff(), 0)
        for each in ("socket_connect_timeout", "socket_timeout"):
            # A connection over a Unix socket takes no timeout, and has no such key.
            if each in backend.connparams:
                given = backend.connparams[each]
                backend.connparams[each] = min(given or self.lost_after, self.lost_after)
        self._backend = backend

    # --- publishing and reading ---

    def publish(self, signature: Any, task_id: str, expires: float | None) -> Any:
        """Send a task; returns its ``AsyncResult``.

        Raises:
            ValueError: the task does not use the app's result backend.
        """
        self._open()
        if signature.type.backend is not self._backend:
            name = signature.task
            raise ValueError(
                f"{name} has another result backend than the app of these Calls. Make Calls with "
                "the task's own app, and set no backend on the task"
            )
        try:
            with self._results():
                self._backend.result_consumer.consume_from(task_id)
            with self._broker() as connection:
                return signature.apply_async(
                    task_id=task_id, expires=expires, connection=connection, retry=False
                )
        except BaseException:
            # Otherwise the subscription would stay, if the backend can be reached.
            with suppress(Unavailable), self._results():
                self._backend.result_consumer.cancel_for(task_id)
            raise

    def read(self, is_needed: Callable[[], bool], heard: Callable[[Any], None]) -> None:
        """Read results as they arrive; the callbacks of ``AsyncResult.then`` run in here.

        Args:
            is_needed: whether to read on.
            heard: called with what Celery stores about a task, whenever that changes.
        """
        consumer = self._backend.result_consumer
        consumer.on_message = heard
        with self._results():
            while is_needed():
                consumer.drain_events(timeout=_READ)

    # --- giving up ---

    def give_up(self, ids: Sequence[str]) -> None:
        """Revoke tasks. `ask` tells the running ones later."""
        for first in range(0, len(ids), _BATCH):
            batch = ids[first : first + _BATCH]
            with self._broker() as connection:
                self._commands.revoke(batch, connection=connection)

    def terminate(self, ids: Sequence[str], signal: str) -> None:
        """Send a signal to the processes that run these tasks."""
        with self._broker() as connection:
            self._commands.revoke(ids, terminate=True, signal=signal, connection=connection)

    def forget(self, results: Sequence[Any]) -> None:
        """Delete results, and wait for them no longer."""
        with self._results():
            for each in results:
                each.forget()

    def unsubscribe(self, results: Sequence[Any]) -> None:
        """Wait no longer for results."""
        with self._results():
            for each in results:
                self._backend.remove_pending_result(each)

    def _set_flags(self, ids: Sequence[str]) -> Mapping[str, Any]:
        """Set the flags of tasks, unless they have ended; returns the results, by task."""
        ends = {}
        with self._results():
            for task_id, meta in self._metas(ids):
                if meta["status"] in _ENDED:
                    ends[task_id] = self._result_in(meta)
                elif meta["status"] != ABORTED:
                    if meta is _UNREADABLE:
                        # Celery reads what it overwrites.
                        self._backend.delete(self._backend.get_key_for_task(task_id))
                    # A task that starts, or tells its progress, overwrites the flag.
                    self._backend.store_result(task_id, None, ABORTED)
        return ends

    def unreadable(self, ids: Sequence[str]) -> list[str]:
        """The tasks about which something is stored that cannot be decoded."""
        with self._results():
            return [each for each, meta in self._metas(ids) if meta is _UNREADABLE]

    def _metas(self, ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
        backend = self._backend
        stored = backend.mget([backend.get_key_for_task(each) for each in ids])
        for task_id, each in zip(ids, stored, strict=True):
            try:
                meta = {"status": states.PENDING} if each is None else backend.decode_result(each)
            except Exception:
                # Its bytes raise whatever their serializer raises.
                meta = _UNREADABLE
            yield task_id, meta

    def _result_in(self, meta: Any) -> Any:
        """The result in what Celery has stored about a task that has ended."""
        meta = self._backend.meta_from_decoded(meta)
        return result_of(meta["status"], meta["result"], meta.get("traceback"))

    # --- asking ---

    def ask(
        self, ids: Sequence[str], again: Sequence[str], limit: int, is_pool_asked: bool
    ) -> Answers:
        """Ask all workers about tasks that were given up, and set their abort flags.

        A worker that answers has received the revokes. A flag that was set earlier would end its
        task, and the worker would begin another one that is given up as well.

        Args:
            ids: the tasks.
            again: those to revoke again first, because perhaps no worker has received the revoke.
            limit: how many answers are enough. It waits a second for more.
            is_pool_asked: whether the pools matter even if no task waits in one.
        """
        self.give_up(again)
        with self._broker() as connection:
            told = self._commands.ask(connection, "query_task", limit, ids=ids)
        held = dict(held_in(told))
        pools: dict[str, Pool] = {}
        is_waiting = any(each.stage is Stage.WAITING for each in held.values())
        if told and (is_pool_asked or is_waiting):
            pools = self._pools(list(told))
        # Read after the answers: a task that no worker knows any more has stored its result.
        return Answers(frozenset(told), held, self._set_flags(ids), pools)

    def workers(self) -> frozenset[str]:
        """Find all workers, which takes a second more than the last of them takes to answer."""
        with self._broker() as connection:
            return frozenset(self._commands.ask(connection, "ping", None))

    def _pools(self, workers: Sequence[str]) -> dict[str, Pool]:
        with self._broker() as connection:
            stats = self._commands.ask(connection, "stats", len(workers), workers)
        return {worker: pool_in(each) for worker, each in stats.items()}

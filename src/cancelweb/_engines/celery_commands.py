"""Commands to Celery's workers that fail if the broker is out of reach.

Celery's own are sent by any connection of the app's pool, and tried again without an end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery.app.control import Control
from kombu.messaging import Producer
from kombu.pidbox import Mailbox


class _OnceProducer(Producer):
    def publish(self, *args: Any, **kwargs: Any) -> Any:
        return super().publish(*args, **{**kwargs, "retry": False})


class _OwnMailbox(Mailbox):
    @contextmanager
    def producer_or_acquire(self, producer: Any = None, channel: Any = None) -> Iterator[Any]:
        yield _OnceProducer(channel, auto_declare=False)


class Commands(Control):  # type: ignore[misc]
    """The control of an app, with an attempt for each command."""

    Mailbox = _OwnMailbox

    def ask(
        self,
        connection: Any,
        command: str,
        limit: int | None,
        to: Sequence[str] | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Send a command; returns the answers by worker.

        Args:
            connection: the connection to use.
            command: the command.
            limit: how many answers are enough; None to wait a second for any number.
            to: the workers; None for all.
            **arguments: what the command takes.
        """
        replies = self.broadcast(
            command, arguments, to, connection=connection, reply=True, limit=limit
        )
        return {worker: answer for reply in replies for worker, answer in reply.items()}

"""A bounded buffer for bytes that a producer pushes and a coroutine awaits.

`processes` and `upstream` supply the bytes.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .._kinds.where import Place, place

LIMIT = 2**16
"""How many unread bytes pause the producer."""


@define(eq=False)
class Inflow:
    """Bytes that have arrived and are still unread.

    Attributes:
        producer: the object that calls `put`, with the ``pauseProducing`` and ``resumeProducing``
            of `IPushProducer`. It is paused while `LIMIT` bytes or more are unread. Pausing and
            resuming it must be idempotent, as they are for Twisted's transports.
    """

    producer: Any = None
    _unread: bytearray = field(factory=bytearray, init=False)
    _has_ended: bool = field(default=False, init=False)
    _failure: Failure | None = field(default=None, init=False)
    _reader: Deferred[None] | None = field(default=None, init=False)

    @property
    def is_full(self) -> bool:
        """Whether the producer is paused, because the reader is slow."""
        return len(self._unread) >= LIMIT

    def put(self, data: bytes) -> None:
        """Add bytes that have arrived, and pause the producer at the limit."""
        self._unread += data
        if self.is_full:
            self.producer.pauseProducing()
        self._wake()

    def end(self, failure: Failure | None = None) -> None:
        """Mark the end of the bytes: a failure, if one ended them."""
        self._has_ended, self._failure = True, failure
        self._wake()

    @property
    def is_ready(self) -> bool:
        """Whether `get` would not wait: there are bytes, or their end has come."""
        return bool(self._unread) or self._has_ended

    async def get(self, at: Place | None = None) -> bytes:
        """Return all unread bytes, as soon as there are any; empty at the end.

        Args:
            at: where the bytes come from, for reports of where work waits.

        Raises:
            Exception: the failure that ended the bytes, once all of them have been returned.
        """
        if not self.is_ready:
            self._reader = Deferred(lambda _: None)
            await (self._reader if at is None else place(self._reader, at))
        if self._failure is not None and not self._unread:
            self._failure.raiseException()
        data = bytes(self._unread)
        self._unread.clear()
        self.producer.resumeProducing()
        return data

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.called:
            reader.callback(None)

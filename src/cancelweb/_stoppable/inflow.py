"""Bytes that somebody pushes, for somebody who awaits them: a buffer with a limit.

Where the bytes come from is for `processes` and `upstream`.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .._kinds.where import Place, place

LIMIT = 2**16
"""From so many unread bytes on, the producer is paused."""


@define(eq=False)
class Inflow:
    """What has come and was not read yet.

    Attributes:
        producer: the `IPushProducer` that calls `put`; paused while its bytes are not read.
            Pausing and resuming it must be idempotent, as they are for Twisted's transports.
    """

    producer: Any = None
    _unread: bytearray = field(factory=bytearray, init=False)
    _has_ended: bool = field(default=False, init=False)
    _failure: Failure | None = field(default=None, init=False)
    _reader: Deferred[None] | None = field(default=None, init=False)

    def put(self, data: bytes) -> None:
        """Take what has come."""
        self._unread += data
        if len(self._unread) >= LIMIT:
            self.producer.pauseProducing()
        self._wake()

    def end(self, failure: Failure | None = None) -> None:
        """There is no more, because of the failure if there is one."""
        self._has_ended, self._failure = True, failure
        self._wake()

    async def get(self, at: Place | None = None) -> bytes:
        """All that is unread, once there is something; empty at the end.

        Args:
            at: where it comes from, for reports of what is waited for.

        Raises:
            Exception: the failure with which it ended, after all that came before.
        """
        if not self._unread and not self._has_ended:
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

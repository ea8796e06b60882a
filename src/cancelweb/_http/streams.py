"""Stream a response from an iterator or an async iterator of bytes, with back-pressure.

A stream is a producer for Twisted's transports and a coroutine that writes to the request;
`answering` finishes the request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from .._scopes.states import Fate
from .._twisted.checks import check
from .request_facts import fate_of

check("streams over TLS")


@implementer(IPushProducer)
@define(eq=False)
class Stream:
    """One streamed response.

    Attributes:
        request: the request to write to.
        clock: gives other work a turn between two chunks.
        is_cancelled: whether the scope was cancelled, for generators that catch the cancellation.
        wrong_chunk: makes the error for a chunk that is not bytes.
    """

    request: Any
    clock: IReactorTime
    is_cancelled: Callable[[], bool]
    wrong_chunk: Callable[[object], TypeError]
    _gate: Deferred[None] | None = field(default=None, init=False)

    async def run(self, chunks: Iterator[object] | AsyncIterator[object]) -> None:
        """Write the chunks as fast as the client takes them, then close the iterator.

        The iterator is closed after an error, too.

        Raises:
            TypeError: a chunk is not bytes.
            CancelledError: the stream was cancelled, even if the generator caught that.
        """
        try:
            self.request.registerProducer(self, True)
        except BaseException:
            await close_stream(chunks)
            raise
        if isinstance(chunks, Iterator):
            chunks = _as_async(chunks)
        try:
            await self._write_all(chunks)
        finally:
            # This comes first, because a request with a producer cannot be finished.
            self.request.unregisterProducer()
            # A lost request keeps its producer, so a reference back would form a cycle.
            self.request = None
            await close_stream(chunks)

    async def _write_all(self, chunks: AsyncIterator[object]) -> None:
        async for chunk in chunks:
            if self.is_cancelled():
                # The generator caught the cancellation and goes on. `run` closes it, and the
                # outcome says stopped: only a stream that ends by itself has completed.
                raise CancelledError
            if not isinstance(chunk, bytes):
                raise self.wrong_chunk(chunk)
            if fate_of(self.request) is Fate.OPEN:
                self.request.write(chunk)
            if self.request.method == b"HEAD":
                return
            if fate_of(self.request) is Fate.OPEN and _is_closed_over_tls(self.request):
                self.request.transport.abortConnection()
            # Yield to the reactor even if the stream is not paused, so that a loss can be noticed.
            await (self._gate or deferLater(self.clock, 0))

    def pauseProducing(self) -> None:
        """See `IPushProducer`: stop writing, because the client is slow."""
        if self._gate is None:
            self._gate = Deferred(lambda _: None)

    def resumeProducing(self) -> None:
        """See `IPushProducer`: go on writing, because there is room again."""
        gate, self._gate = self._gate, None
        if gate is not None and not gate.called:
            gate.callback(None)

    def stopProducing(self) -> None:
        """See `IProducer`: the connection is lost. The scope, which is told next, cancels `run`."""
        self.pauseProducing()


def _is_closed_over_tls(request: Any) -> bool:
    """Whether the client has closed its TLS connection with a close alert.

    Twisted then drops all writes, but reports the loss only after the producer has ended, which an
    endless stream never does.
    """
    transport = getattr(getattr(request, "transport", None), "transport", None)
    return bool(getattr(transport, "disconnecting", False))


async def _as_async(chunks: Iterator[object]) -> AsyncIterator[object]:
    try:
        for chunk in chunks:
            yield chunk
    finally:
        await close_stream(chunks)


async def close_stream(chunks: object) -> None:
    """Close a plain or async iterator, if it has ``close`` or ``aclose``."""
    if hasattr(chunks, "aclose"):
        await chunks.aclose()
    elif hasattr(chunks, "close"):
        chunks.close()

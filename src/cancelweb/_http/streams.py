"""Streaming a response from an iterator or an async iterator of bytes, with back-pressure.

A producer for Twisted's transports, and the coroutine that feeds it; what becomes of the request
before and after is `answering`'s business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import deferLater
from twisted.python.reflect import safe_repr
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
        request: whom it is written to.
        clock: between two chunks of a plain iterator, other work gets its turn.
        is_cancelled: tells whether to break off, for generators that swallow the cancellation.
    """

    request: Any
    clock: IReactorTime
    is_cancelled: Callable[[], bool]
    _gate: Deferred[None] | None = field(default=None, init=False)

    async def run(self, chunks: Iterator[object] | AsyncIterator[object]) -> None:
        """Write the chunks as fast as the client takes them; always closes the iterator.

        Raises:
            TypeError: a chunk is not bytes.
            CancelledError: the cancellation, or, where a generator has swallowed that, our own.
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
            # First of all: whoever finishes a request with a producer on it is told off.
            self.request.unregisterProducer()
            # A request that was lost goes on referring to its producer.
            self.request = None
            await close_stream(chunks)

    async def _write_all(self, chunks: AsyncIterator[object]) -> None:
        async for chunk in chunks:
            if self.is_cancelled():
                # It is closed, and so stopped: only what ends by itself has completed.
                raise CancelledError
            if not isinstance(chunk, bytes):
                raise TypeError(
                    f"a stream must yield bytes, not {safe_repr(chunk)}; where Deferreds are "
                    "yielded, @inlineCallbacks is missing"
                )
            if fate_of(self.request) is Fate.OPEN:
                self.request.write(chunk)
            if self.request.method == b"HEAD":
                return
            if fate_of(self.request) is Fate.OPEN and _is_closed_over_tls(self.request):
                self.request.transport.abortConnection()
            # A turn even where nobody pauses us: it is in another one that a loss is told.
            await (self._gate or deferLater(self.clock, 0))

    def pauseProducing(self) -> None:
        """See `IPushProducer`: the client is slow."""
        if self._gate is None:
            self._gate = Deferred(lambda _: None)

    def resumeProducing(self) -> None:
        """See `IPushProducer`: there is room again."""
        gate, self._gate = self._gate, None
        if gate is not None and not gate.called:
            gate.callback(None)

    def stopProducing(self) -> None:
        """See `IProducer`: the connection is lost. The scope, which is told next, stops us."""
        self.pauseProducing()


def _is_closed_over_tls(request: Any) -> bool:
    """Whether the client has closed its TLS connection in good order.

    All that is written is dropped then, but Twisted tells nobody before the producer is through,
    which an endless one never is.
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
    """Close an iterator of either kind, if it can be closed."""
    if hasattr(chunks, "aclose"):
        await chunks.aclose()
    elif hasattr(chunks, "close"):
        chunks.close()

"""Keeping code that knows nothing of a request's death from touching it afterwards.

No-ops in the request's own ``__dict__``, from the moment of its death: no proxy, and no cost
while it lives.
"""

from __future__ import annotations

from typing import Any

from ._lifetime import Fate


def _ignore(*args: object) -> None:
    """Stands where a dead request would raise."""


def _refuse_producer(producer: Any, streaming: bool) -> None:
    """There is nobody left to produce for."""
    producer.stopProducing()


def guard(request: Any, fate: Fate) -> None:
    """The request is finished or lost: what is done to it from now on does nothing.

    On a request that was finished ``finish`` is left alone: called twice, it warns, as in Twisted.
    """
    request.write = _ignore
    request.registerProducer = _refuse_producer
    request.unregisterProducer = request.loseConnection = _ignore
    if fate is Fate.LOST:
        request.finish = _ignore

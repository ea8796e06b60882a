"""Shapes of work that waits for other work: chains, lists, coroutines and generators.

What belongs here: what the tests of leaves share. What does not: the tests.
"""

from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import (
    Deferred,
    DeferredList,
    fail,
    gatherResults,
    inlineCallbacks,
    succeed,
)

Wait = Deferred[Any]


async def awaiting(deferred: Wait) -> Any:
    """A coroutine that waits for a Deferred."""
    return await deferred


@inlineCallbacks
def yielding(deferred: Wait) -> Generator[Wait, Any, Any]:
    """A generator that waits for a Deferred."""
    return (yield deferred)


def coroutine(deferred: Wait) -> Wait:
    """The Deferred of a coroutine that waits for another Deferred."""
    return Deferred.fromCoroutine(awaiting(deferred))


def fired_on(deferred: Wait) -> Wait:
    """A Deferred that has fired, and whose callback waits for another."""
    return succeed(None).addCallback(lambda _: deferred)


def gathered(deferred: Wait) -> Wait:
    """A list that has fired, and whose callback waits for a Deferred."""
    return gatherResults([succeed(1), succeed(2)]).addCallback(lambda _: deferred)


def first_won(deferred: Wait) -> Wait:
    """A list that has fired with its first result, and whose callback waits for a Deferred."""
    fired: Wait = DeferredList([succeed(1), Deferred()], fireOnOneCallback=True)
    return fired.addCallback(lambda _: deferred)


def one_failed(deferred: Wait) -> Wait:
    """A list that has fired with its first failure, and whose errback waits for a Deferred."""
    failed: Wait = DeferredList(
        [fail(KeyError()), Deferred()], fireOnOneErrback=True, consumeErrors=True
    )
    return failed.addErrback(lambda _: deferred)


def empty(deferred: Wait) -> Wait:
    """An empty list whose callback waits for a Deferred."""
    fired: Wait = DeferredList([])
    return fired.addCallback(lambda _: deferred)


FIRED = [gathered, first_won, one_failed, empty]
AROUND: list[Callable[[Wait], Any]] = [lambda each: each, fired_on, awaiting, coroutine, yielding]

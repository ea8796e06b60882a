"""Read the private names of Twisted: one function for each, which also works if it is missing.

The modules that call these functions decide what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from twisted.internet import defer
from twisted.python.failure import Failure
from twisted.web import server  # noqa: F401 - names of modules that are not imported go unchecked

from .checks import check

# --- Deferreds ---

DebugInfo: Any = getattr(defer, "DebugInfo", object)
"""Logs a failure that no code has handled, when its Deferred is garbage."""

_FAILURE_GROUP: Any = getattr(defer, "FailureGroup", ())


def replace_debug_info(deferred: Any, replacement: Any) -> None:
    """Make another object keep a Deferred's failure until the failure is handled or logged."""
    former = deferred._debugInfo
    if former is not None:
        replacement.failResult, former.failResult = former.failResult, None
    deferred._debugInfo = replacement


def failures_of_race(error: object) -> Sequence[Failure]:
    """The failures of all members, if this is what ``race`` fails with; else empty."""
    return getattr(error, "failures", ()) if isinstance(error, _FAILURE_GROUP) else ()


def canceller_of(deferred: Any) -> Callable[..., object] | None:
    """What Twisted calls to cancel a Deferred that has not fired; ``cancel`` if unknown."""
    return getattr(deferred, "_canceller", deferred.cancel)  # type: ignore[no-any-return]


def members_of(deferred_list: Any) -> list[Any] | None:
    """The Deferreds of a `DeferredList`, or None."""
    return getattr(deferred_list, "_deferredList", None)


# --- requests ---

_ENCODER = None if check("encoders") else ...


def is_in_fake_head(request: Any) -> bool:
    """Whether Twisted renders a GET in place of a HEAD now, and drops what is written."""
    return bool(getattr(request, "_inFakeHead", False))


def has_encoder(request: Any) -> bool:
    """Whether Twisted compresses what is written; True if that is unknown."""
    return getattr(request, "_encoder", _ENCODER) is not None


def is_waiting_for_transport(channel: Any) -> bool:
    """Whether an HTTP/1 channel has paused its producer until its transport has sent more."""
    return bool(getattr(channel, "_waitingForTransport", False))


def unsent_bytes(transport: Any) -> int:
    """How many bytes a transport, of TCP or TLS, holds and has not passed on.

    Bytes written over TLS in the turn in which the connection is lost are no longer visible.
    """
    try:
        begun = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
        rest = len(getattr(transport, "_appSendBuffer", ()))
        return begun + rest + int(getattr(transport, "_tempDataLen", 0))
    except TypeError:
        # A test double may return anything for these attributes.
        return 1


# --- requests to other servers ---


def with_endpoints(agent: Any, wrap: Callable[[Any], Any]) -> Any:
    """A copy of Twisted's `Agent` whose endpoints come from another factory; others as they are.

    Args:
        agent: the agent. The copy has the same pool.
        wrap: makes the factory, from the agent's own.
    """
    factory = getattr(agent, "_endpointFactory", None)
    if factory is None:
        return agent
    twin = copy(agent)
    twin._endpointFactory = wrap(factory)
    return twin


def is_awaiting_head(protocol: Any) -> bool:
    """Whether a protocol of Twisted's client waits for a response, and has none of its lines."""
    return getattr(getattr(protocol, "_parser", None), "state", None) == "STATUS"


# --- the database ---


def driver_connection_of(connection: Any) -> Any:
    """The driver's connection behind one of adbapi's connections."""
    return connection._connection


def pool_of(connection: Any) -> Any:
    """The pool of one of adbapi's connections."""
    return connection._pool


def reactor_of(pool: Any) -> Any:
    """The reactor of one of adbapi's pools."""
    return pool._reactor


def with_connection(pool: Any) -> Callable[..., Any]:
    """What ``runWithConnection`` of an adbapi pool calls in a thread."""
    return pool._runWithConnection  # type: ignore[no-any-return]


def in_interaction(pool: Any) -> Callable[..., Any]:
    """What ``runInteraction`` of an adbapi pool calls in a thread."""
    return pool._runInteraction  # type: ignore[no-any-return]

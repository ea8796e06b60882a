"""Checks of the agents and responses that users pass to `upstream` and `proxy`."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web.iweb import IAgent, IResponse

from .._checks import shown


def check_agent(name: str, value: object) -> None:
    """Raise unless the value can be used as an ``IAgent``."""
    if not _provides(value, IAgent, "request"):
        raise TypeError(
            f"{name} must provide IAgent, as twisted.web.client.Agent(reactor) does, not "
            f"{shown(value)}"
        )


def check_response(name: str, value: object) -> None:
    """Raise unless the value can be used as an ``IResponse``."""
    if isinstance(value, Deferred):
        raise TypeError(f"{name} must be a response, not a Deferred of one. Await it first.")
    if not _provides(value, IResponse, "deliverBody"):
        raise TypeError(
            f"{name} must provide IResponse, as what an agent's request() fires with does, not "
            f"{shown(value)}"
        )


def _provides(value: object, interface: type[IAgent | IResponse], method: str) -> bool:
    # Many agents, such as treq's test doubles, do not declare the interface.
    is_object = not isinstance(value, type)
    return is_object and (interface.providedBy(value) or callable(getattr(value, method, None)))

"""Numbers and states as words for people."""

from __future__ import annotations

from ._in_flight import InFlight

STATES = {
    "running": "",
    "answered": "its work still runs",
    "spared": "runs on",
    "stopping": "stopping",
    "cleaning": "cleaning up",
}
"""What the page says of a request in each state, after ``Client left; `` if that is so."""

UNKNOWN_PLACE = "no work was returned or tracked"
"""In place of where a request waits."""


def duration(seconds: float) -> str:
    """Seconds as people say them: ``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 4 min``.

    A no-break space joins a number and its unit.
    """
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f}\xa0s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}\xa0min {rest}\xa0s" if minutes else f"{rest}\xa0s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}\xa0h {minutes}\xa0min"


def brief(seconds: float) -> str:
    """How long a request took: like `duration`, with milliseconds below a tenth of a second."""
    return f"{seconds * 1000:.0f}\xa0ms" if seconds < 0.0995 else duration(seconds)


def number(value: float) -> str:
    """A number with commas between thousands, and a decimal only if it is small and not whole."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def percent(share: float) -> str:
    """A share as a percentage, never rounded down to 0 % or up to 100 %."""
    if 0 < share < 0.01:
        return "<1%"
    return "99%" if 0.99 < share < 1 else f"{share:.0%}"


def several(count: int, one: str, many: str) -> str:
    """A number and its noun: ``1 request``, ``2,000 requests``."""
    return f"{number(count)} {one if count == 1 else many}"


def span(seconds: float) -> str:
    """The length of a period: ``12 s``, ``7 min``, ``3 h``, ``4 days``."""
    for unit, length, least in [("days", 86400, 2), ("h", 3600, 2), ("min", 60, 1)]:
        if seconds >= least * length:
            return f"{seconds // length:,.0f}\xa0{unit}"
    return f"{seconds:.0f}\xa0s"


def mark_of(request: InFlight) -> str:
    """What is special about a request: that its client has left, or the cause that stops it."""
    state = STATES[request.state]
    if request.client_left:
        return f"Client left; {state}"
    if request.state == "answered":
        return f"Answered; {state}"
    if request.cause is None:
        return state.capitalize()
    return f"{state.capitalize() or 'Not cancelled'}: {request.cause}"


def handler_of(request: InFlight) -> str:
    """The handler with its place; empty if the request waits at a line of the handler."""
    if request.waits_at.endswith(f" in {request.handler}"):
        return ""
    at = "" if request.handler_at is None else f" at {request.handler_at}"
    return f"handler: {request.handler}{at}"

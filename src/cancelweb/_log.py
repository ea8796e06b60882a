"""The package's log, and the line that tells how a request ended.

The one place that puts client-chosen bytes into log text.
"""

from __future__ import annotations

from time import time
from typing import Any

from attrs import define
from twisted.logger import Logger, LogLevel
from twisted.python.reflect import safe_repr, safe_str

from .causes import Ended, Outcome

log = Logger(namespace="cancelweb")

_INFO = LogLevel.info


@define(eq=False)
class Line:
    """What the log says of an outcome; put into words only where somebody reads it."""

    outcome: Outcome

    def __str__(self) -> str:
        outcome = self.outcome
        return (
            f"{printable(outcome.method)} {printable(outcome.path)}: {ended_text(outcome.ended)} "
            f"after {seconds_of(outcome):.3f} s: {why(outcome)}"
        )


def log_one(outcome: Outcome) -> None:
    """Log how one request ended, in a line of its own.

    Of one that failed, too, at level info: its traceback is the one error event.
    """
    # What `log.info` does, which looks its level up among all; that takes thrice as long.
    log.observer(
        {
            "log_logger": log,
            "log_level": _INFO,
            "log_namespace": log.namespace,
            "log_source": None,
            "log_format": "{line}",
            "log_time": time(),
            "line": Line(outcome),
            "outcome": outcome,
            "method": outcome.method,
            "path": outcome.path,
            "cause": outcome.cause,
            "ended": outcome.ended,
            "seconds": seconds_of(outcome),
            "status": outcome.status,
            "sent": outcome.sent,
            "handler": outcome.handler,
            "notes": outcome.notes,
        }
    )


def seconds_of(outcome: Outcome) -> float:
    """How long its scope was open."""
    return outcome.closed - outcome.opened


def is_worth_a_line(outcome: Outcome) -> bool:
    """Whether a request was cancelled, or would have been, or failed."""
    if outcome.failure is not None or outcome.ended >= Ended.SURVIVED:
        return True
    # A request that was answered is not worth one, for all that was stopped beside it.
    return outcome.cause is not None or outcome.would_have_cancelled is not None


def why(outcome: Outcome) -> str:
    """Why a request was cancelled, or would have been, and with what it failed."""
    parts = []
    if outcome.cause is not None:
        parts.append(safe_str(outcome.cause))
    elif outcome.would_have_cancelled is not None:
        parts.append(f"would have been cancelled: {safe_str(outcome.would_have_cancelled)}")
    elif outcome.leftovers or outcome.ended is Ended.REFUSED:
        parts.append("the response was finished")
    if outcome.failure is not None:
        name = type(outcome.failure.value).__name__
        parts.append(f"{name}: {outcome.failure.getErrorMessage()}")
    return printable(": ".join(parts))


def ended_text(ended: Ended) -> str:
    """How logs and reports call a way to end: ``let go``."""
    return ended.name.lower().replace("_", " ")


def name_of(function: object) -> str:
    """How logs and errors call a handler or a hook."""
    return str(getattr(function, "__qualname__", None) or safe_repr(function))


def full_name_of(function: Any) -> str:
    """The name of a handler with its module; a method goes by the class of its object.

    What a script defines that Twisted runs (``.rpy``) has no module. What has no name, such as a
    ``partial``, is shown as it is.
    """
    kind, name = function, getattr(function, "__qualname__", None)
    owner = getattr(function, "__self__", None)
    if owner is not None:
        kind = owner if isinstance(owner, type) else type(owner)
        name = f"{kind.__qualname__}.{getattr(function, '__name__', '')}"
    elif name is None:
        return name_of(function)
    module = getattr(kind, "__module__", None)
    return name if module is None else f"{module}.{name}"


def printable(text: bytes | str) -> str:
    """Text that is safe to log."""
    # A client may have chosen these: no control character may reach a terminal or forge a line.
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)

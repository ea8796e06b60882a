"""The package's logger, and the log line that tells how a request ended.

Only this module puts bytes chosen by a client into log text.
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
    """The log line of an outcome. The text is made only if a log observer formats the event."""

    outcome: Outcome

    def __str__(self) -> str:
        outcome = self.outcome
        return (
            f"{printable(outcome.method)} {printable(outcome.path)}: {ended_text(outcome.ended)} "
            f"after {seconds_of(outcome):.3f} s: {why(outcome)}"
        )


def log_one(outcome: Outcome) -> None:
    """Log how one request ended, in one line at level info.

    A failed request is logged at level info, too: its traceback is the error event.
    """
    # `log.info` would look up its level by name first, which makes it three times as slow.
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
    """How many seconds the scope of a request was open."""
    return outcome.closed - outcome.opened


def is_worth_a_line(outcome: Outcome) -> bool:
    """Whether the log gets a line: the request was cancelled, or would have been, or failed."""
    if outcome.failure is not None or outcome.ended >= Ended.SURVIVED:
        return True
    # An answered request gets no line, even if leftover work was stopped.
    return outcome.cause is not None or outcome.would_have_cancelled is not None


def why(outcome: Outcome) -> str:
    """Why a request was cancelled, or would have been, and the error that it failed with."""
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
    """The name of a way to end in logs and reports, such as ``let go``."""
    return ended.name.lower().replace("_", " ")


def name_of(function: object) -> str:
    """The name of a handler or a hook in logs and errors."""
    return str(getattr(function, "__qualname__", None) or safe_repr(function))


def full_name_of(function: Any) -> str:
    """The name of a handler with its module; a method is named after the class of its object.

    A function defined in a script that Twisted runs (``.rpy``) has no module. A callable without a
    name, such as a ``partial``, is shown by its ``repr``.
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
    """The text with every control character escaped, so that it is safe to log."""
    # A client may have chosen this text. A control character could forge a log line or steer a
    # terminal.
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)

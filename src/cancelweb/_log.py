"""The package's log, and the observer that writes to it by default.

The one place that puts client-chosen bytes into log text.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.python.reflect import safe_repr, safe_str

from .causes import Ended, Outcome, ResponseFinished

log = Logger(namespace="cancelweb")


def log_outcome(outcome: Outcome) -> None:
    """Log requests that were cancelled (info) or that failed (error), one line each.

    The event's keys are those of the `Outcome`, plus ``seconds``, how long the scope was open.
    The failure's traceback is not in it: that was logged where the failure was met.
    """
    level = _level(outcome)
    if level is None:
        return
    log.emit(
        level,
        "{method_text} {path_text}: {ended_text} after {seconds:.3f} s{reason}{failure_text}",
        outcome=outcome,
        method=outcome.method,
        path=outcome.path,
        cause=outcome.cause,
        ended=outcome.ended,
        seconds=outcome.closed - outcome.opened,
        method_text=printable(outcome.method),
        path_text=printable(outcome.path),
        ended_text=outcome.ended.name.lower(),
        reason=_reason_text(outcome),
        failure_text=_failure_text(outcome),
    )


def _level(outcome: Outcome) -> Any:
    if outcome.failure is not None:
        return LogLevel.error
    reason = outcome.cause or outcome.would_have_cancelled
    if isinstance(reason, ResponseFinished) and outcome.ended < Ended.SURVIVED:
        # A request that was answered; what was stopped beside it is not worth a line.
        return None
    return None if reason is None else LogLevel.info


def name_of(function: object) -> str:
    """How logs and errors call a handler or a hook."""
    return str(getattr(function, "__qualname__", None) or safe_repr(function))


def printable(text: bytes | str) -> str:
    """Text that is safe to log."""
    # A client may have chosen these: no control character may reach a terminal or forge a line.
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _reason_text(outcome: Outcome) -> str:
    if outcome.cause is not None:
        return f": {printable(safe_str(outcome.cause))}"
    if outcome.would_have_cancelled is not None:
        would = printable(safe_str(outcome.would_have_cancelled))
        return f": would have been cancelled: {would}"
    return ""


def _failure_text(outcome: Outcome) -> str:
    if outcome.failure is None:
        return ""
    message = printable(outcome.failure.getErrorMessage())
    return f": {type(outcome.failure.value).__name__}: {message}"

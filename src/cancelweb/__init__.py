"""Cancellation for Twisted Web: when a client leaves, the work done for it stops.

Re-exports the public names; no logic.
"""

from ._http.decorator import cancel_on_disconnect
from ._http.wrapper import CancellingResource
from ._scopes.finding import current_scope, scope_of
from ._scopes.refusal import cleaning
from ._scopes.refused import StartRefused
from ._scopes.scope import Scope
from ._scopes.shared import Shared
from ._scopes.shield import detach, shield
from ._unavailable import Unavailable, Unreachable
from .causes import (
    Cause,
    ContentLost,
    Disconnected,
    Draining,
    Ended,
    Observer,
    Outcome,
    RapidReset,
    ResponseFinished,
    ScopeCancelled,
    TimedOut,
)
from .interfaces import ICancellable, ICancellableDetails
from .observers import access_log_499, log_outcome

__version__ = "0.1.0"

__all__ = [
    "CancellingResource",
    "Cause",
    "ContentLost",
    "Disconnected",
    "Draining",
    "Ended",
    "ICancellable",
    "ICancellableDetails",
    "Observer",
    "Outcome",
    "RapidReset",
    "ResponseFinished",
    "Scope",
    "ScopeCancelled",
    "Shared",
    "StartRefused",
    "TimedOut",
    "Unavailable",
    "Unreachable",
    "access_log_499",
    "cancel_on_disconnect",
    "cleaning",
    "current_scope",
    "detach",
    "log_outcome",
    "scope_of",
    "shield",
]

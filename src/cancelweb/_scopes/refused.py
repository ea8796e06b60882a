"""`StartRefused`: the failure of work that was not started for a dead request.

`refusal` decides when work is refused.
"""

from __future__ import annotations

import asyncio

from .._checks import check_instance
from ..causes import Cause


class StartRefused(asyncio.CancelledError):
    """Work was not started, because the code that tried to start it had been asked to stop.

    Like asyncio's CancelledError, this is a BaseException and not an Exception, so that a retry
    loop with ``except Exception`` ends.

    Attributes:
        cause: why the request was cancelled; in leftover work, `ResponseFinished`.
    """

    def __init__(self, message: str, cause: Cause) -> None:
        check_instance("message", message, str, "a str")
        check_instance("cause", cause, Cause, "a cancelweb.Cause")
        super().__init__(message)
        self.cause = cause

"""What work fails with that was not started, since the code that asked was to stop itself.

When that is stands in `refusal`.
"""

from __future__ import annotations

import asyncio

from ..causes import Cause


class StartRefused(asyncio.CancelledError):
    """Work was not started, since the code that asked for it had been asked to stop itself.

    Like asyncio's CancelledError it is a BaseException and not an Exception, so that code that
    tries again after each ``except Exception`` comes to its end.

    Attributes:
        cause: why the request was cancelled; `ResponseFinished` in work beside its response.
    """

    def __init__(self, message: str, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause

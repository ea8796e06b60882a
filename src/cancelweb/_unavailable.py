"""A server that a handler needs, such as a broker, is out of reach: the exception, and the cause.

`_http.error_pages` answers it.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from ._checks import IS_COUNT, IS_TEXT, check_instance
from .causes import Cause


@frozen
class Unreachable(Cause):
    """A server that the handler needs cannot be reached.

    This never cancels a scope. A handler that fails with `Unavailable` is answered with it.

    Attributes:
        server: what cannot be reached, such as ``Celery's broker``.
        retry_after: how many seconds ``Retry-After`` asks the client to wait.
    """

    server: str = field(validator=IS_TEXT)
    retry_after: int = field(default=1, validator=IS_COUNT)

    @property
    def headers(self) -> Mapping[str, str]:
        """See `Cause`: ``Retry-After``."""
        return {"Retry-After": str(self.retry_after)}

    def __str__(self) -> str:
        return f"{self.server} cannot be reached"


class Unavailable(ConnectionError):
    """Raised in a handler when a server that it needs, such as Celery's broker, is out of reach.

    If the handler does not catch it, the client gets a 503, or the page of ``error_page``.

    Attributes:
        cause: what cannot be reached. It is not the cause of a scope: nothing was cancelled.
    """

    def __init__(self, server: str, detail: str) -> None:
        check_instance("detail", detail, str, "a str")
        self.cause = Unreachable(server)
        self._detail = detail
        super().__init__(f"{self.cause}: {detail}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.cause.server, self._detail), vars(self)

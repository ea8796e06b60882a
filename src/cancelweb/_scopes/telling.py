"""Logging for a request: whoever reads the log sees the context variables of its handler.

What is logged stands where it happens. Here is only the context in which it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from functools import partial

from attrs import frozen
from twisted.python.failure import Failure

from .._log import full_name_of, log


@frozen(eq=False)
class Telling:
    """The context of a handler, for what is logged after its scope has closed.

    It is referred to weakly, as the values in it may be anything, such as the request. It lives for
    as long as code runs in it.
    """

    _context: Callable[[], Context | None]

    @property
    def context(self) -> Context:
        """It, or an empty one if it is gone.

        Not that of the caller: whoever ends the work may do so for another request.
        """
        context = self._context()
        return Context() if context is None else context

    def log(self, emit: Callable[..., None], text: str, **facts: object) -> None:
        """Log in a copy of the context.

        Args:
            emit: a method of the logger.
            text: the format of the message.
            **facts: go with the event.
        """
        log_in(self.context, emit, text, **facts)


def _nothing() -> None:
    return None


NOWHERE = Telling(_nothing)
"""Logs in an empty context, for what belongs to no request."""


def log_in(context: Context | None, emit: Callable[..., None], text: str, **facts: object) -> None:
    """Log in a copy of a context, since none can be entered twice; see `Telling.log`."""
    if context is None:
        emit(text, **facts)
    else:
        context.copy().run(partial(emit, text, **facts))


def log_failure_in(context: Context | None, handler: object, failure: Failure) -> None:
    """Log what the work of a handler has failed with, where nobody else does."""
    text = "the work of {handler} failed"
    log_in(context, log.failure, text, failure=failure, handler=full_name_of(handler))

"""Log in the context of a handler, so that log observers see its context variables.

The messages are where the events happen; this module enters the context.
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
    """The context of a handler, for log lines after its scope has closed.

    The reference is weak, because a context variable may hold anything, such as the request. The
    context lives as long as code runs in it.
    """

    _context: Callable[[], Context | None]

    @property
    def context(self) -> Context:
        """The context, or an empty one if it is gone.

        The caller's context would be wrong: another request may have ended the work.
        """
        context = self._context()
        return Context() if context is None else context

    def log(self, emit: Callable[..., None], text: str, **facts: object) -> None:
        """Log in a copy of the context.

        Args:
            emit: a method of the logger.
            text: the format of the message.
            **facts: further keys of the event.
        """
        log_in(self.context, emit, text, **facts)


def _nothing() -> None:
    return None


NOWHERE = Telling(_nothing)
"""Logs in an empty context, for events that belong to no request."""


class Told(Exception):
    """Fails a request for a reason that its handler has logged itself, perhaps as a warning."""


def log_in(context: Context | None, emit: Callable[..., None], text: str, **facts: object) -> None:
    """Log in a copy of a context, because no context can be entered twice; see `Telling.log`."""
    if context is None:
        emit(text, **facts)
    else:
        context.copy().run(partial(emit, text, **facts))


def log_failure_in(context: Context | None, handler: object, failure: Failure) -> None:
    """Log the failure of a handler's work, if no other code logs it."""
    if failure.check(Told):
        return
    text = "the work of {handler} failed"
    log_in(context, log.failure, text, failure=failure, handler=full_name_of(handler))

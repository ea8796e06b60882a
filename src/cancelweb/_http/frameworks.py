"""Detect decorated Klein views: Klein sends an empty page while the view's work still runs.

Klein awaits what a view returns. A decorated view returns NOT_DONE_YET, and Klein finishes the
response without a body. By then only the log can tell the user.
"""

from __future__ import annotations

from contextvars import Context
from itertools import dropwhile
from typing import Any, Protocol

from twisted.web.http import OK, Request

from .._kinds.places import place_of, short_name_of
from .._kinds.where import frames
from .._log import full_name_of, log
from .._scopes.life import Life
from .._scopes.owners import is_users
from .._scopes.telling import log_in
from .request_facts import answer_of

KLEIN = "klein"
"""The package of Klein. Nothing is looked for until it is imported."""


class Unawaited(Protocol):
    """A scope, as far as it is needed here."""

    handler: object
    inner_handler: object
    context: Context | None

    @property
    def request(self) -> Any:
        """See `Scope`."""

    @property
    def life(self) -> Life:
        """See `Scope`."""


_FINISH = Request.finish.__code__


def note_unawaited(scope: Unawaited) -> None:
    """Log an error if Klein finished the response while returned work still runs."""
    if not scope.life.stopping.works.is_returned_waited_for:
        return
    if not (_is_finishing() or _has_sent_nothing(scope)):
        return
    handler = scope.inner_handler or scope.handler
    log_in(
        scope.context,
        log.error,
        "Klein sent an empty page and did not wait for {place_text}: a view that is decorated with "
        "@cancel_on_disconnect returns NOT_DONE_YET to Klein. Remove the decorator from "
        "{name_text}, and wrap the app: CancellingResource(app.resource())",
        handler=full_name_of(handler),
        place_text=place_of(handler),
        name_text=short_name_of(handler),
    )


def _is_finishing() -> bool:
    """Whether the stack has a ``Request.finish`` that Klein called."""
    below = dropwhile(lambda frame: frame.f_code is not _FINISH, frames())
    finishing = next(filter(is_users, below), None)
    return finishing is not None and _is_of_klein(finishing.f_globals.get("__name__"))


def _has_sent_nothing(scope: Unawaited) -> bool:
    """Whether a wrapped Klein resource finished an empty response before its call returned."""
    owner = getattr(scope.handler, "__self__", None)
    return _is_of_klein(type(owner).__module__) and answer_of(scope.request) == (OK, 0)


def _is_of_klein(module: object) -> bool:
    return str(module).partition(".")[0] == KLEIN

"""How cancelweb notices the end of a request: as a listener of ``notifyFinish``.

A request keeps the Deferreds that ``notifyFinish`` returned in its list ``notifications``, and
calls ``callback`` or ``errback`` of each. Our listener is not a Deferred but the scope itself,
which has both methods: a Deferred with two callbacks would take three times as long.

* Our listener is the first in the list, so that a lost request is guarded before any other listener
  runs, whenever that listener was added.
* Steps that must come last wait for the other listeners. Twisted iterates over the live list, so it
  reaches a listener that is appended meanwhile (`after_others`).
* If the request's class overrides ``notifyFinish``, cancelweb calls that method
  (`takes_listeners`), and puts only a guard into the list (`guard_before_others`).
* No exception may escape from our listener, because Twisted would not call the remaining ones
  (`log_escape`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ReferenceType, ref

from attrs import define
from twisted.python.failure import Failure
from twisted.web.http import Request

from .._log import log
from .._scopes.states import Fate
from .._twisted.checks import check
from .dead_requests import guard
from .request_facts import fate_of

_NOTIFY_FINISH: object = Request.notifyFinish if check("listeners") else ...


def takes_listeners(request: Any) -> bool:
    """Whether a request keeps its listeners as Twisted's own class does."""
    try:
        return request.notifyFinish.__func__ is _NOTIFY_FINISH
    except AttributeError:
        # ``notifyFinish`` is set on the instance, or missing, as on a test double.
        return False


def after_others(request: Any, told: Callable[[], object]) -> None:
    """Call a function after the other listeners of a request, in the same turn.

    Args:
        request: Twisted is calling its listeners, ours first.
        told: the function to call.
    """
    if len(request.notifications) > 1:
        request.notifications.append(_Last(told))
    else:
        told()


def guard_before_others(request: Any) -> None:
    """Guard a request on its loss, before the listeners in its list run.

    For a request whose class overrides ``notifyFinish``, if it keeps the list ``notifications``.
    """
    getattr(request, "notifications", []).insert(0, _Guard(ref(request)))


def failure_of(told: Failure | BaseException | None) -> Failure | None:
    """What a listener is told, as a Failure or None. Test doubles also tell exceptions."""
    # A Failure is a BaseException, too.
    return told if told is None or isinstance(told, Failure) else Failure(told)


def log_escape() -> None:
    """Log the current exception instead of raising it into Twisted."""
    log.failure("the end of a request could not be handled")


@define(eq=False)
class _Guard:
    """Guards a lost request."""

    _request: ReferenceType[Any]

    def callback(self, _: object) -> None:
        """Do nothing: after a finished response other listeners see the request as Twisted does."""

    def errback(self, _: Failure) -> None:
        """Guard the request, unless it was cancelled and is still open."""
        request = self._request()
        if request is not None and fate_of(request) is Fate.LOST:
            guard(request, Fate.LOST)


@define(eq=False)
class _Last:
    """The listener that is called after all others."""

    told: Callable[[], object]

    def callback(self, _: object) -> None:
        """Call the function."""
        try:
            self.told()
        except BaseException:
            log_escape()

    errback = callback

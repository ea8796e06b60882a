"""How cancelweb is told of the end of a request: as a listener of ``notifyFinish``.

A request keeps the Deferreds that ``notifyFinish`` has given out in its list ``notifications``, and
calls ``callback`` or ``errback`` of each. Ours is no Deferred, but the scope itself, which has both
methods: a Deferred with two callbacks would take three times as long.

* Ours is the first in the list, so that a request that was lost is guarded before any other
  listener is told, whenever that was added.
* What is to be done last waits for the others: Twisted goes through the list itself, and so reaches
  what is appended meanwhile (`after_others`).
* Where it cannot be in that list, because the request hands out listeners in a way of its own, a
  guard is (`guard_before_others`).
* Nothing may escape from a listener, as nothing does from a Deferred: Twisted would tell no more of
  the others (`log_escape`).
* A request that hands out listeners in a way of its own is asked for one (`takes_listeners`).
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
        # It is an attribute of the instance, or there is none: on a test double, say.
        return False


def after_others(request: Any, told: Callable[[], object]) -> None:
    """Call when the other listeners of a request have been told, in the same turn.

    Args:
        request: the one whose listeners are being told, ours first.
        told: what to call.
    """
    if len(request.notifications) > 1:
        request.notifications.append(_Last(told))
    else:
        told()


def guard_before_others(request: Any) -> None:
    """Have a request guarded when it was lost, before those in its list are told.

    For one that hands out listeners in a way of its own, as far as it still keeps that list.
    """
    getattr(request, "notifications", []).insert(0, _Guard(ref(request)))


def log_escape() -> None:
    """Log what was raised just now, instead of letting it go on to Twisted."""
    log.failure("the end of a request could not be handled")


@define(eq=False)
class _Guard:
    """Guards a request that was lost."""

    _request: ReferenceType[Any]

    def callback(self, _: object) -> None:
        """The response is finished: the others see what Twisted shows them."""

    def errback(self, _: Failure) -> None:
        """The client has left, or the request is cancelled and lives."""
        request = self._request()
        if request is not None and fate_of(request) is Fate.LOST:
            guard(request, Fate.LOST)


@define(eq=False)
class _Last:
    """Is told when all others have been."""

    told: Callable[[], object]

    def callback(self, _: object) -> None:
        """The request is over."""
        try:
            self.told()
        except BaseException:
            log_escape()

    errback = callback

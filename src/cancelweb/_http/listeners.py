"""How cancelweb is told of the end of a request: as a listener of ``notifyFinish``.

A request keeps the Deferreds that ``notifyFinish`` has given out in its list ``notifications``, and
calls ``callback`` or ``errback`` of each. Ours is no Deferred, but the scope itself, which has both
methods: a Deferred with two callbacks would take three times as long.

* Ours is the first in the list, so that a request that was lost is guarded before any other
  listener is told, whenever that was added.
* What is to be done last waits for the others: Twisted goes through the list itself, and so reaches
  what is appended meanwhile (`after_others`).
* Nothing may escape from a listener, as nothing does from a Deferred: Twisted would tell no more of
  the others (`log_escape`).
* A request that hands out listeners in a way of its own is asked for one (`takes_listeners`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.web.http import Request

from .._log import log
from .._twisted.checks import check

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


def log_escape() -> None:
    """Log what was raised just now, instead of letting it go on to Twisted."""
    log.failure("the end of a request could not be handled")


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

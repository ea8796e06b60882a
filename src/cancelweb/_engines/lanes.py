"""A lane: one thread in which an engine's client may block, one call after the other.

Does not know what is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

P = ParamSpec("P")
R = TypeVar("R")


@define(eq=False)
class Lane:
    """A thread that starts with the first call, and ends with the reactor.

    Attributes:
        reactor: the Deferreds fire in this reactor's thread.
        name: the name of the thread.
        is_over: whether the reactor stops. A call that loops reads it, in any thread.
    """

    reactor: Any
    name: str
    is_over: bool = field(default=False, init=False)
    _pool: ThreadPool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pool = ThreadPool(0, 1, self.name)
        self._pool.start()
        # All lanes are told to end, after a drain, before the first of them is waited for.
        self.reactor.addSystemEventTrigger("during", "shutdown", self._end_loops)
        self.reactor.addSystemEventTrigger("after", "shutdown", self._pool.stop)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Call a function after all earlier calls; fires with what it returned or raised."""
        return deferToThreadPool(self.reactor, self._pool, function, *args, **kwargs)

    def _end_loops(self) -> None:
        self.is_over = True

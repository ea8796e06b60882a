"""The server's side of each request: Twisted's own Request, its scope, and its outcome.

Other modules have the client's side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from attrs import define, evolve, field
from twisted.internet.task import Clock, Cooperator
from twisted.web.server import Request

from .._log import log
from .._scopes.bursts import log_outcome
from .._scopes.finding import SCOPE
from .._scopes.options import added
from .._scopes.scope import Scope
from ..causes import Outcome
from ..monitor import Monitor

SERVED = "_cancelweb_served"


@define(eq=False)
class Served:
    """One request, as the server sees it.

    Attributes:
        request: Twisted's request.
        clock: the client's clock.
        scope: the scope, for a handler under cancelweb; the second, if it is called too late.
        outcome: set once the scope has closed.
        exits: how often the scope's hooks have run.
        monitor: knows the work that the handler has detached.
    """

    request: Request
    clock: Clock
    scope: Scope | None = None
    outcome: Outcome | None = None
    exits: int = 0
    monitor: Monitor = field(factory=Monitor)

    @property
    def has_closed(self) -> bool:
        """Whether the scope has closed, and no detached work runs."""
        return self.outcome is not None and not self.monitor.detached

    def opened(self, scope: Scope) -> None:
        """An entry point has met the request: arrange to be told how it ends.

        A handler that comes late has a second scope, with the observers and monitors of the first.
        """
        self.scope, self.outcome, self.exits = scope, None, 0
        options = scope.options
        default = (log_outcome,) if options.observers is None else options.observers
        scope.options = evolve(
            options,
            observers=added(default, (self._tell,)),
            monitors=added(options.monitors, (self.monitor,)),
            parts=(options, *options.parts),
        )
        self.monitor.scope_opened(scope)
        scope.on_exit(self._count)

    def _tell(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def _count(self, scope: Scope) -> None:
        # The first scope may still clean up when there is a second.
        self.exits += scope is self.scope


def recording(
    factory: Callable[..., Request], clock: Clock, note: Callable[[Any, Served], None]
) -> Callable[..., Request]:
    """A request factory whose requests are watched.

    Args:
        factory: the Site's own.
        clock: the client's clock.
        note: called for each request, with its channel and its server side.
    """

    def make(channel: Any, *args: Any, **kwargs: Any) -> Request:
        request = factory(channel, *args, **kwargs)
        served = Served(request, clock)
        kind: Any = type(request)
        request.__class__ = _watched(kind)
        setattr(request, SERVED, served)
        note(channel, served)
        return request

    return make


@cache
def _watched(kind: Any) -> Any:
    """A class of requests that report their scope, and whose pull producers run on the clock."""

    class Watched(kind):  # type: ignore[misc]
        def registerProducer(self, producer: Any, streaming: bool) -> None:
            if not streaming:
                # Twisted pulls with the cooperator of the global reactor.
                producer = _Puller(producer, self, getattr(self, SERVED).clock)
            super().registerProducer(producer, True)

        def unregisterProducer(self) -> None:
            if isinstance(self.producer, _Puller):
                self.producer.end()
            super().unregisterProducer()

    def get(request: Any) -> object:
        try:
            return request.__dict__[SCOPE]
        except KeyError:
            raise AttributeError(SCOPE) from None

    def keep(request: Any, scope: Scope) -> None:
        request.__dict__[SCOPE] = scope
        getattr(request, SERVED).opened(scope)

    setattr(Watched, SCOPE, property(get, keep))
    Watched.__name__, Watched.__qualname__ = kind.__name__, kind.__qualname__
    Watched.__module__, Watched.__doc__ = kind.__module__, kind.__doc__
    return Watched


class _Puller:
    """Pulls a producer once a turn of the clock, until it is told to pause or to stop."""

    def __init__(self, producer: Any, request: Any, clock: Clock) -> None:
        self._producer, self._request = producer, request
        self._is_paused = self._has_ended = False
        cooperator = Cooperator(
            terminationPredicateFactory=lambda: lambda: True,
            scheduler=lambda function: clock.callLater(0, function),
        )
        self._task = cooperator.cooperate(self._pull())

    def _pull(self) -> Iterator[None]:
        while not self._has_ended:
            try:
                self._producer.resumeProducing()
            except Exception:
                log.failure("{producer} failed", producer=self._producer)
                self._request.unregisterProducer()
            yield None

    def end(self) -> None:
        """Pull no more."""
        self._has_ended = True

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""
        if self._is_paused and not self._has_ended:
            self._is_paused = False
            self._task.resume()

    def pauseProducing(self) -> None:
        """See `IPushProducer`."""
        if not self._is_paused and not self._has_ended:
            self._is_paused = True
            self._task.pause()

    def stopProducing(self) -> None:
        """See `IPushProducer`."""
        if not self._has_ended:
            self._has_ended = True
            self._task.stop()
            self._producer.stopProducing()

"""How long the requests of a pair take, and what they leave behind.

Numbers only: `cases` says what is compared, and `inprocess` shows it.
"""

from __future__ import annotations

import contextlib
import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from weakref import WeakSet

from attrs import define, field, frozen
from cases import Case
from contenders import Connection, Contender
from report import Spread
from twisted.web.server import Request

from cancelweb import Scope, scope_of

WARM_UP = 20
"""Rounds that do not count."""


@frozen
class Timing:
    """Microseconds a request.

    Attributes:
        theirs: those of what is compared with.
        ours: those with cancelweb.
        ratio: ours by theirs, round by round.
        extra: ours less theirs, round by round.
    """

    theirs: Spread
    ours: Spread
    ratio: Spread
    extra: Spread


@frozen
class Leftovers:
    """What some requests have left behind.

    Attributes:
        garbage: how many objects only the garbage collector could free.
        scopes: how many scopes are alive after that.
        requests: how many requests are alive after that.
    """

    garbage: int
    scopes: int
    requests: int


@define(eq=False)
class Runner:
    """Sends the requests to one contender, some at a time."""

    contender: Contender
    is_abandoned: bool
    _kept_alive: Connection = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._kept_alive = self.contender.connect()

    def run(self, requests: int) -> float:
        """Send requests; returns the microseconds that each took.

        The processor's time is what counts, so that the machine may do something else beside.
        """
        send = self.prepare(requests)
        start = time.process_time()
        send()
        return (time.process_time() - start) * 1e6 / requests

    def prepare(self, requests: int) -> Callable[[], None]:
        """Open what connections are needed; returns what sends the requests, and ends each."""
        if self.is_abandoned:
            connections = [self.contender.connect() for _ in range(requests)]
            return partial(self.contender.abandon, connections)
        self._kept_alive.received()
        return partial(self.contender.complete, self._kept_alive, requests)


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    """Let no garbage collector run by itself, nor look at what there is already."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def time_case(case: Case, rounds: int, requests: int) -> Timing:
    """Time the two of a case."""
    return _timing(*time_in_turn([case.ours(), case.theirs()], case.is_abandoned, rounds, requests))


def time_in_turn(
    contenders: Sequence[Contender], is_abandoned: bool, rounds: int, requests: int
) -> list[list[float]]:
    """Time contenders in turn, in random order, for so many rounds; returns what each took."""
    runners = [Runner(contender, is_abandoned) for contender in contenders]
    order = runners.copy()
    taken: dict[Runner, list[float]] = {runner: [] for runner in runners}
    with no_collector():
        for _ in range(WARM_UP + rounds):
            random.shuffle(order)
            for runner in order:
                taken[runner].append(runner.run(requests))
            gc.collect()
    return [taken[runner][WARM_UP:] for runner in runners]


def _timing(ours: list[float], theirs: list[float]) -> Timing:
    pairs = list(zip(ours, theirs, strict=True))
    return Timing(
        theirs=Spread.of(theirs),
        ours=Spread.of(ours),
        ratio=Spread.of(our / their for our, their in pairs),
        extra=Spread.of(our - their for our, their in pairs),
    )


def find_leftovers(contender: Contender, requests: int, is_abandoned: bool) -> Leftovers:
    """Send requests, collect the garbage, and see what is left of them."""
    scopes: WeakSet[Scope] = WeakSet()
    seen: WeakSet[Request] = WeakSet()

    class SeenRequest(Request):
        def render(self, resource: object) -> None:
            super().render(resource)
            seen.add(self)
            with contextlib.suppress(LookupError):
                scopes.add(scope_of(self))

    contender.request_factory = SeenRequest
    runner = Runner(contender, is_abandoned)
    with no_collector():
        runner.run(requests)
        garbage = gc.collect()
        return Leftovers(garbage, scopes=len(scopes), requests=len(seen))

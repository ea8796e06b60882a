"""What a million requests leave behind in one process, one in three of them abandoned.

Run it with `python benchmarks/soak.py`; it prints Markdown, and `--help` tells its options.
The connections are in memory; no time is measured.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice

from attrs import define, field, frozen
from cases import wrapped_deferred
from contenders import REQUEST, Connection, Contender, End, MakeRoot
from handlers import (
    DecoratedCall,
    DecoratedCoroutine,
    DecoratedDeferred,
    Stage,
    log_to_nobody,
)
from report import Parser, deliver, heading, table, yes_or_no
from twisted.web.server import Request

from cancelweb import Scope

PROGRAM = "soak.py"

AT_MOST = 10.0
"""Bytes by which traced memory may grow with each request."""

EACH = 3
"""Of so many requests one is abandoned."""


KINDS: tuple[tuple[MakeRoot, End], ...] = (
    (DecoratedCall, Stage.end_call),
    (DecoratedDeferred, Stage.end_work),
    (DecoratedCoroutine, Stage.end_work),
    (wrapped_deferred, Stage.end_work),
)


@define(eq=False)
class Visitors:
    """The clients of one page.

    Attributes:
        contender: the page.
        completed: how many of their requests were answered.
        stopped: how much work was stopped, that ran until the client left.
    """

    contender: Contender
    completed: int = 0
    stopped: int = 0
    _kept_alive: Connection = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._kept_alive = self.contender.connect()

    def stay(self) -> None:
        """Ask, and wait for the answer."""
        self.contender.complete(self._kept_alive, 1)
        self.completed += self._kept_alive.received().startswith(b"HTTP/1.1 200")

    def leave(self) -> None:
        """Ask, and leave."""
        connection, stage = self.contender.connect(), self.contender.stage
        connection.send(REQUEST)
        running = stage.running()
        connection.leave()
        self.stopped += running - stage.running()


@frozen
class Soak:
    """What came of it all.

    Attributes:
        completed: how many requests were answered.
        stopped: how many were stopped.
        early: traced bytes after the first of them.
        late: traced bytes after the last.
        scopes: how many scopes are alive then.
        requests: how many requests are.
    """

    completed: int
    stopped: int
    early: int
    late: int
    scopes: int
    requests: int

    def growth(self, requests: int) -> float:
        """Bytes by which memory grew with each of so many requests."""
        return (self.late - self.early) / requests


def main(arguments: Sequence[str]) -> None:
    """Soak, and print or write the table."""
    options = parse(arguments)
    log_to_nobody()
    found = soak(options.requests, options.early)
    parts = [
        heading(PROGRAM, arguments),
        table(("figure", "found", "target", "met"), rows(found, options)),
    ]
    deliver(PROGRAM, "\n\n".join(parts), options.write_readme)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__)
    parser.number("--requests", 1_000_000, "requests")
    parser.number("--early", 100_000, "requests after which memory is to grow no more")
    return parser.parse_args(arguments)


def soak(requests: int, early: int) -> Soak:
    """Have a page of each kind visited in turn."""
    visitors = [Visitors(Contender.of(make_root, end)) for make_root, end in KINDS]
    visits = endless_visits(visitors)
    tracemalloc.start()
    run(islice(visits, early))
    memory_early = traced()
    run(islice(visits, requests - early))
    memory_late = traced()
    tracemalloc.stop()
    return Soak(
        completed=sum(each.completed for each in visitors),
        stopped=sum(each.stopped for each in visitors),
        early=memory_early,
        late=memory_late,
        scopes=alive(Scope),
        requests=alive(Request),
    )


def endless_visits(visitors: Sequence[Visitors]) -> Iterable[Callable[[], None]]:
    """The pages in turn; in every so-manieth round all clients leave."""
    stays = [each.stay for each in visitors]
    return cycle([*stays * (EACH - 1), *(each.leave for each in visitors)])


def run(visits: Iterable[Callable[[], None]]) -> None:
    """Have them happen."""
    for visit in visits:
        visit()


def traced() -> int:
    """How much memory is in use, in bytes."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def alive(kind: type) -> int:
    """How many objects of this kind there are."""
    gc.collect()
    return sum(issubclass(type(each), kind) for each in gc.get_objects())


def rows(found: Soak, options: argparse.Namespace) -> Sequence[Sequence[str]]:
    """What there is to tell."""
    requests, early = options.requests, options.early
    growth = found.growth(requests - early)
    done = found.completed + found.stopped
    return (
        ("requests answered", f"{found.completed:,}", "", ""),
        ("requests abandoned and stopped", f"{found.stopped:,}", "", ""),
        ("all", f"{done:,}", f"{requests:,}", yes_or_no(done == requests)),
        (f"traced bytes after {early:,}", f"{found.early:,}", "", ""),
        (f"traced bytes after {requests:,}", f"{found.late:,}", "", ""),
        (
            "growth, bytes a request",
            f"{growth:.4f}",
            f"< {AT_MOST:g}",
            yes_or_no(growth < AT_MOST),
        ),
        ("scopes alive", f"{found.scopes}", "0", yes_or_no(found.scopes == 0)),
        ("requests alive", f"{found.requests}", "0", yes_or_no(found.requests == 0)),
    )


if __name__ == "__main__":
    main(sys.argv[1:])

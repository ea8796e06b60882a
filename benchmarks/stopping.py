"""How long it takes to stop many pieces of work of one request, when its client leaves.

Run it with `python benchmarks/stopping.py`; it prints Markdown, and `--help` lists its options.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from attrs import define, field, frozen
from contenders import REQUEST, Contender
from handlers import Page, Stage, discard_log
from measure import no_collector
from report import Parser, Spread, deliver, heading, spread, table, yes_or_no
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import cancel_on_disconnect, current_scope

PROGRAM = "stopping.py"
MANY = (500, 1_000, 2_000, 4_000)
AT_MOST = {4_000: 100.0}
"""The milliseconds that so much work may take to stop."""


@define(eq=False)
class Pieces:
    """So much work for one request.

    Attributes:
        number: how many pieces.
        running: how many of them have not been stopped.
    """

    number: int
    running: int = field(default=0, init=False)

    def begin(self) -> Deferred[None]:
        """Begin one."""
        self.running += 1
        return Deferred(self._cancelled)

    def _cancelled(self, _: Deferred[None]) -> None:
        self.running -= 1


class Tracked(Page):
    """With cancelweb: the handler tracks each piece, and returns another."""

    def __init__(self, pieces: Pieces, stage: Stage) -> None:
        super().__init__(stage)
        self.pieces = pieces

    @cancel_on_disconnect(observers=())
    def render_GET(self, request: Request) -> Deferred[None]:
        scope, pieces = current_scope(), self.pieces
        for _ in range(pieces.number - 1):
            scope.track(pieces.begin())
        return pieces.begin()


class ByHand(Page):
    """By hand: a loop cancels each piece, the newest first, and leaves no error unconsumed."""

    def __init__(self, pieces: Pieces, stage: Stage) -> None:
        super().__init__(stage)
        self.pieces = pieces

    def render_GET(self, request: Request) -> int:
        works = [self.pieces.begin() for _ in range(self.pieces.number)]
        for work in works:
            work.addErrback(_trap)
        request.notifyFinish().addErrback(self._stop, works)
        return NOT_DONE_YET

    def _stop(self, _: Failure, works: list[Deferred[None]]) -> None:
        for work in reversed(works):
            work.cancel()


def _trap(failure: Failure) -> None:
    failure.trap(CancelledError)


MAKERS: dict[str, Callable[[Pieces, Stage], Page]] = {
    "cancelweb": Tracked,
    "a loop by hand": ByHand,
}


@frozen
class Stopping:
    """Milliseconds of the processor's time.

    Attributes:
        number: how much work was stopped.
        ours: what cancelweb took.
        theirs: what the loop took.
        ratio: ours by theirs, round by round.
    """

    number: int
    ours: Spread
    theirs: Spread
    ratio: Spread


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the table."""
    options = parse(arguments)
    discard_log()
    with no_collector():
        found = [measure(number, options.rounds) for number in options.work]
    report = f"{heading(PROGRAM, arguments)}\n\n{stopping_table(found)}\n\n{notes(options.rounds)}"
    deliver(PROGRAM, report, options.write_readme)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__)
    parser.number("--rounds", 20, "how often each is stopped")
    parser.numbers("--work", MANY, "how much work a request has")
    return parser.parse_args(arguments)


def measure(number: int, rounds: int) -> Stopping:
    """Stop so much work, of both in turn, in random order."""
    taken: dict[str, list[float]] = {name: [] for name in MAKERS}
    order = list(MAKERS)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            taken[name].append(time_stopping(name, number))
    ours, theirs = taken.values()
    ratios = (our / their for our, their in zip(ours, theirs, strict=True))
    return Stopping(number, Spread.of(ours), Spread.of(theirs), Spread.of(ratios))


def time_stopping(name: str, number: int) -> float:
    """The milliseconds until so much work of a new request has been stopped.

    Raises:
        SystemExit: some of it was not.
    """
    pieces = Pieces(number)
    connection = Contender.of(partial(MAKERS[name], pieces), None).connect()
    connection.send(REQUEST)
    begun, start = pieces.running, time.process_time()
    connection.leave()
    milliseconds = (time.process_time() - start) * 1e3
    if (begun, pieces.running) != (number, 0):
        raise SystemExit(f"{name}: {begun} of {number} begun, {pieces.running} not stopped")
    return milliseconds


def stopping_table(found: Sequence[Stopping]) -> str:
    """The table of what it takes."""
    header = ("work", "by hand, ms", "cancelweb, ms", "ratio", "target", "met")
    rows = [
        (
            f"{each.number:,}",
            spread(each.theirs, ".1f"),
            spread(each.ours, ".1f"),
            spread(each.ratio, ".2f"),
            *verdict(each),
        )
        for each in found
    ]
    return table(header, rows)


def verdict(stopping: Stopping) -> tuple[str, str]:
    """The target, and whether it is met; empty where there is none."""
    at_most = AT_MOST.get(stopping.number)
    if at_most is None:
        return "", ""
    return f"≤ {at_most:g} ms", yes_or_no(stopping.ours.median <= at_most)


def notes(rounds: int) -> str:
    """The notes below the table."""
    return (
        f"Milliseconds of the processor's time, in one turn of the reactor: medians of {rounds} "
        "rounds, with the quartiles behind."
    )


if __name__ == "__main__":
    main(sys.argv[1:])

"""The demonstration in words and numbers: what it does, the table, and what went wrong.

Text from results; nothing here runs anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import fill

from attrs import astuple

from .clients import LEAVERS, WAITERS, Result

Results = Mapping[str, Result]

WIDTH = 84
CLIENTS = WAITERS + LEAVERS

_ROW = "{:<10} {:>8} {:>10} {:>8} {:>14}  {:>15} {:>9}"


def introduction() -> str:
    """What is about to happen."""
    return fill(
        "Two web servers on loopback do the same work, one with cancelweb, one without. For each "
        f"kind of work, {WAITERS} clients wait for their answers; then {LEAVERS} more ask, and "
        "leave as soon as they have received the first bytes from their work. From then on "
        "nobody is connected. This takes some 8 seconds.",
        WIDTH,
    )


def table(cancelling: Results, plain: Results) -> str:
    """A line for each kind of work, and one for all."""
    lines = [
        f"{'with cancelweb':^52}    {'CPU seconds after leaving':>25}",
        _ROW.format(
            "kind", "started", "completed", "stopped", "still running", "with cancelweb", "without"
        ),
    ]
    pairs = {kind: (result, plain[kind]) for kind, result in cancelling.items()}
    pairs["all"] = (total(cancelling), total(plain))
    return "\n".join([*lines, *(_line(kind, *pair) for kind, pair in pairs.items())])


def _line(kind: str, cancelling: Result, plain: Result) -> str:
    return _ROW.format(
        kind,
        cancelling.started,
        cancelling.completed,
        cancelling.stopped,
        cancelling.running,
        f"{cancelling.cpu:.2f}",
        f"{plain.cpu:.2f}",
    )


def total(results: Results) -> Result:
    """The sum over all kinds."""
    return Result(*map(sum, zip(*map(astuple, results.values()), strict=True)))


def conclusion(cancelling: Results, plain: Results) -> str:
    """What the table shows, and how it was measured."""
    left, ran_on = total(cancelling), total(plain)
    return fill(
        f"All {left.running_when_left} pieces of work that were abandoned were running when "
        f"their clients left. With cancelweb, {left.stopped} were stopped; without, "
        f"{ran_on.stopped} were, and {ran_on.completed} of {ran_on.started} ran to their end. "
        "CPU seconds are the operating system's count for the server and its child processes, "
        "from just before the clients left until no work was running.",
        WIDTH,
    )


def problems(cancelling: Results, plain: Results) -> list[str]:
    """What is not as the demonstration claims; nothing, if all is well."""
    return [
        *_not_begun("with cancelweb", cancelling),
        *_not_begun("without", plain),
        *_not_stopped(cancelling),
    ]


def _not_begun(way: str, results: Results) -> Iterator[str]:
    for kind, result in results.items():
        if result.started < CLIENTS:
            yield f"{kind}, {way}: {result.started} of {CLIENTS} started"
        elif result.running_when_left < LEAVERS:
            running = result.running_when_left
            yield f"{kind}, {way}: {running} of {LEAVERS} were running when their clients left"


def _not_stopped(results: Results) -> Iterator[str]:
    for kind, result in results.items():
        if result.running:
            yield f"{kind}, with cancelweb: {result.running} still running"
        elif result.stopped < result.running_when_left:
            stopped = f"{result.stopped} of {result.running_when_left}"
            yield f"{kind}, with cancelweb: {stopped} stopped, the rest ran to their end"

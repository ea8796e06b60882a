"""Figures of the contenders, round by round, and what their ratios are.

Knows neither what was measured nor how.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from attrs import frozen
from report import Spread, spread, table, verdict, yes_or_no
from roster import ROSTER

T = TypeVar("T")

Samples = dict[str, list[float]]
"""Of each contender, a figure for each round."""


@frozen
class Target:
    """What one is to be compared with.

    Attributes:
        ours: the contender with cancelweb.
        theirs: the other.
        at_most: how high the ratio may be.
        at_least: how low it may be.
    """

    ours: str
    theirs: str
    at_most: float | None = None
    at_least: float | None = None

    def ratio(self, samples: Samples) -> Spread:
        """Ours by theirs, round by round."""
        pairs = zip(samples[self.ours], samples[self.theirs], strict=True)
        return Spread.of(our / their for our, their in pairs)

    def verdict(self, ratio: float) -> tuple[str, str]:
        """The target, and whether it was met."""
        if self.at_least is not None:
            return f"≥ {self.at_least:.2f}", yes_or_no(ratio >= self.at_least)
        return verdict(ratio, self.at_most)


Targets = Mapping[str, Sequence[Target]]
"""The targets of each kind of figure."""


def in_turn(
    contenders: Iterable[str], rounds: int, measure: Callable[[str], T]
) -> dict[str, list[T]]:
    """Measure each in each round, in random order."""
    order = list(contenders)
    found: dict[str, list[T]] = {name: [] for name in order}
    for _ in range(rounds):
        for name in random.sample(order, len(order)):
            found[name].append(measure(name))
    return found


def samples(found: dict[str, list[T]], figure: Callable[[T], float]) -> Samples:
    """One figure of what was found."""
    return {name: [figure(each) for each in all_] for name, all_ in found.items()}


def comparison(what: dict[str, Samples], targets: Targets) -> str:
    """The table of the ratios that have a target."""
    header = ("figure", "contender", "against", "ratio", "target", "met")
    return table(header, rows(what, targets))


def rows(what: dict[str, Samples], targets: Targets) -> Iterator[Sequence[str]]:
    """What there is to tell of each ratio."""
    for figure, its_targets in targets.items():
        found = what[figure]
        for target in its_targets:
            if target.ours in found and target.theirs in found:
                ratio = target.ratio(found)
                yield (
                    figure,
                    ROSTER[target.ours].title,
                    ROSTER[target.theirs].title,
                    spread(ratio, ".3f"),
                    *target.verdict(ratio.median),
                )


def figures(
    what: dict[str, Samples], form: str, reference: str, alone: dict[str, tuple[Samples, str]]
) -> str:
    """The table of the figures, each with its ratio to the reference's, and of some without."""
    header = ["contender"]
    for figure in what:
        header += [figure, f"by that of {ROSTER[reference].title}"]
    names = next(iter(what.values()))
    lines = [
        [ROSTER[name].title]
        + [cell for found in what.values() for cell in compared(found, name, reference, form)]
        + [f"{Spread.of(found[name]).median:{form}}" for found, form in alone.values()]
        for name in names
    ]
    return table([*header, *alone], lines)


def compared(found: Samples, name: str, reference: str, form: str) -> tuple[str, str]:
    """A contender's figure, and its ratio to the reference's."""
    ratio = Target(name, reference).ratio(found)
    return f"{Spread.of(found[name]).median:{form}}", spread(ratio, ".2f")

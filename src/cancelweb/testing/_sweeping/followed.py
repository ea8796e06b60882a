"""What becomes of the coroutines and generators that waited when the client left.

Only looks and judges; nothing here resumes them.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from attrs import define

from ..._scopes.let_go import is_unknown
from ..._still_running import LetGo
from ...causes import Ended, Outcome
from .._served import Served
from .lines import Line, is_being_cancelled, line_of, position_of
from .report import Problem, Problems
from .waits import Waits

_POSITION = re.compile(r"(.+):(\d+) in (.+)")
"""A line of code, as in logs."""


class Fate(Enum):
    """What a coroutine has done since the client left."""

    UNTOUCHED = "it waits where it waited"
    ENDING = "it is in a finally or except block that its cancellation led to"
    ENDED = "it has ended"
    WENT_ON = "it was resumed, and then went on to something else"
    UNHEEDED = "the scope has closed, and it still waits"


@define(eq=False)
class Followed:
    """One coroutine or generator that waited when the client left.

    Attributes:
        is_begun: whether a handler began it in its scope.
        has_cleaned: whether it has waited in a finally or except block.
        line: where it waited when the client left; if it went on, where it waits now.
    """

    waiting: Any
    line: Line | None
    is_begun: bool
    has_cleaned: bool = False
    fate: Fate = Fate.UNTOUCHED
    _position: object = None

    def __attrs_post_init__(self) -> None:
        self._position = position_of(self.waiting)

    def look_first(self) -> None:
        """Look when the client has just left."""
        if position_of(self.waiting) != self._position:
            self._look()

    def look_again(self) -> None:
        """Look when something has happened."""
        if self.fate is Fate.ENDING:
            self._look()

    def look_last(self) -> None:
        """Look when the scope has closed: all tracked work has ended."""
        if self.is_begun and self.fate is Fate.UNTOUCHED and position_of(self.waiting):
            self.fate, self.line = Fate.UNHEEDED, line_of(self.waiting)

    def _look(self) -> None:
        line = line_of(self.waiting)
        if not position_of(self.waiting):
            self.fate = Fate.ENDED
        elif is_being_cancelled(self.waiting):
            self.fate, self.line, self.has_cleaned = Fate.ENDING, line, True
        else:
            self.fate, self.line = Fate.WENT_ON, line


def follow(waits: Waits) -> list[Followed]:
    """The user's coroutines and generators that wait now."""
    begun = set(map(id, waits.begun))
    lines = [(each, line_of(each)) for each in waits.found]
    return [Followed(each, line, id(each) in begun) for each, line in lines if line is not None]


def judge(
    followed: list[Followed], served: Served | None, let_go: list[LetGo], patience: float
) -> Problems:
    """The problems with how the handler took its client's leaving, judged when all is quiet.

    Args:
        followed: what waited when the client left.
        served: the server's side of the request.
        let_go: what the scope has let go.
        patience: how many seconds the handler had at most.
    """
    for each in followed:
        if each.fate is Fate.WENT_ON:
            yield Problem.SWALLOWED, f"the handler then went on to {each.line}"
        elif each.fate is Fate.ENDING:
            yield Problem.LEFT, f"the handler still cleans up after {patience:g} s, at {each.line}"
    if served is not None and served.scope is not None:
        yield from _judge_scope(followed, served, let_go)
    else:
        for each in followed:
            if each.fate is Fate.UNTOUCHED:
                yield Problem.NOT_STOPPED, f"the handler still waits at {each.line}"


def _judge_scope(followed: list[Followed], served: Served, let_go: list[LetGo]) -> Problems:
    if served.exits > 1:
        yield Problem.HOOKS, f"the hooks ran {served.exits} times"
    if served.outcome is None:
        yield Problem.LEFT, f"{served.scope!r} has not closed"
    elif _has_survived(served.outcome) and not any(e.fate is Fate.WENT_ON for e in followed):
        at = ", ".join(str(each.line) for each in followed if each.fate is not Fate.ENDED)
        yield Problem.NOT_STOPPED, f"the work survived its cancel, at {at or 'an unknown line'}"
    elif served.outcome.cause is not None:
        yield from _judge_let_go(let_go)
        yield from _judge_outcome(followed, served.outcome)


def _judge_outcome(followed: list[Followed], outcome: Outcome) -> Problems:
    """Judge a scope that was cancelled, and whose work has all ended in time."""
    for each in followed:
        if each.fate is Fate.UNHEEDED:
            text = f"work that is neither tracked nor detached still runs at {each.line}"
            yield Problem.NOT_STOPPED, text
    seconds = outcome.stopped - (outcome.cancelled or 0.0)
    # True if a coroutine explains the time: it cleaned up, is reported already, or was shielded.
    is_known = any(each.has_cleaned or each.fate is not Fate.ENDED for each in followed)
    if outcome.ended is Ended.COMPLETED and seconds and not is_known:
        yield Problem.SWALLOWED, f"the work then ran for {seconds:g} s, to its end"


def _judge_let_go(let_go: list[LetGo]) -> Problems:
    # Of work that is unknown to cancelweb, the traces that it leaves behind are reported instead.
    at = ", ".join(_place(each.where) for each in let_go if not is_unknown(each))
    if at:
        yield Problem.NOT_STOPPED, f"the work was let go, because nothing could stop it: {at}"


def _place(where: str) -> str:
    found = _POSITION.fullmatch(where)
    return where if found is None else str(Line(found[1], int(found[2]), found[3]))


def _has_survived(outcome: Outcome) -> bool:
    return outcome.cause is not None and outcome.ended is Ended.SURVIVED

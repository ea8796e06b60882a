"""What few scopes have, such as a second handler, kept where it costs the other scopes nothing.

A scope without any of it refers to `NOTHING_RARE`, which all such scopes share.
"""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING

from attrs import define, frozen

from ..causes import Ended
from .states import LeftOpen

if TYPE_CHECKING:
    from .work import Work


NOTHING_BEGAN = (None, None)
"""The value of `Rare.began` while no context was found that way."""


@define(eq=False)
class Rare:
    """The rare attributes of one scope. `BareSubject.own_rare` returns one that may be changed.

    Attributes:
        began: what a generator that may be the handler has begun in, see `found_context`.
        base: the context before the handler was called, if that had any variables.
        claim: what work keeps alive that runs on when the scope has closed.
        ended: how the work of a closed scope ended, unless its cause tells that.
        handed_over: the work that the scope watched itself, once its life stops it.
        inner_handler: the handler of the innermost of several entry points.
        left_open: whether the response was left to unknown code.
    """

    began: tuple[object, Context | None] = NOTHING_BEGAN
    base: Context | None = None
    claim: object = None
    ended: Ended | None = None
    handed_over: Work | None = None
    inner_handler: object = None
    left_open: LeftOpen = LeftOpen.NO


@frozen(eq=False)
class _NothingRare(Rare):
    """Cannot be changed: what one scope sets must not reach another."""


NOTHING_RARE: Rare = _NothingRare()
"""The first value of `rare`."""

"""Which of several forms of an answer a client prefers, by its Accept header.

RFC 9110, section 12.5.1. Neither Twisted nor the standard library has a parser for it. Which forms
there are is for `error_pages`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# A string that nothing closes goes to the end. So each quote begins a match, which never goes back:
# a client cannot have the same text read twice.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.?)*+"?')
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")

_LONGEST = 4096
"""A browser sends about 150 characters."""

Names = tuple[str, ...]
"""The media types by which a client may ask for one form."""


def preferred(accept: Sequence[bytes], offers: Sequence[Names], otherwise: int = 0) -> int:
    """The index of the form that a client prefers.

    Of several that it likes equally it is the one that it has named most exactly, then the first:
    clients that name JSON often add ``*/*``, and ``text/plain`` too.

    Args:
        accept: the values of the request's Accept headers. More than 4,096 characters are not read,
            and count as none.
        offers: what there is.
        otherwise: the index of the form for clients that ask for nothing in particular, or like
            none of these.
    """
    text = b",".join(accept).decode("latin-1")
    ranges = _ranges(text) if len(text) <= _LONGEST else {}
    liked = [_liking(ranges, names) for names in offers]
    best = max(liked)
    quality, exactness = best
    if quality == 0 or (exactness == 0 and liked[otherwise] == best):
        return otherwise
    return liked.index(best)


def _ranges(text: str) -> dict[str, float]:
    """Media ranges, in lower case, and how much each is liked; what is malformed is left out."""
    ranges: dict[str, float] = {}
    for part in _QUOTED.sub("", text).lower().split(","):
        media, *parameters = (each.strip() for each in part.split(";"))
        quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        if _QUALITY.fullmatch(quality):
            ranges[media] = max(float(quality), ranges.get(media, 0.0))
    return ranges


def _liking(ranges: dict[str, float], names: Names) -> tuple[float, int]:
    """How much a form is liked, and how exactly it was named; the most exact range counts."""
    exact = [ranges[name] for name in names if name in ranges]
    if exact:
        return max(exact), 2
    group = f"{names[0].partition('/')[0]}/*"
    return (ranges[group], 1) if group in ranges else (ranges.get("*/*", 0.0), 0)

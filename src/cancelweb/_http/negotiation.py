"""Content negotiation: which form of an answer a client prefers, by its Accept header.

See RFC 9110, section 12.5.1. Neither Twisted nor the standard library has a parser for it.
`error_pages` defines the forms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# A quoted string without an end quote matches up to the end of the header. So each quote begins a
# match that never backtracks, and the header is read in linear time.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.?)*+"?')
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")

_LONGEST = 4096
"""The most characters of Accept that are read. A browser sends about 150."""

Names = tuple[str, ...]
"""The media types with which a client may ask for one form."""


def preferred(accept: Sequence[bytes], offers: Sequence[Names], otherwise: int = 0) -> int:
    """The index of the form that a client prefers.

    Among forms of equal quality, the most exactly named one wins, then the first. Clients that name
    JSON often add ``*/*`` and ``text/plain``.

    Args:
        accept: the values of the request's Accept headers. If they have more than 4,096 characters
            in total, they are ignored.
        offers: the available forms, each with its media types.
        otherwise: the index of the form for clients that ask for nothing in particular, or accept
            none of the forms.
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
    """The media ranges in lower case, each with its quality; malformed ones are left out."""
    ranges: dict[str, float] = {}
    for part in _QUOTED.sub("", text).lower().split(","):
        media, *parameters = (each.strip() for each in part.split(";"))
        quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        if _QUALITY.fullmatch(quality):
            ranges[media] = max(float(quality), ranges.get(media, 0.0))
    return ranges


def _liking(ranges: dict[str, float], names: Names) -> tuple[float, int]:
    """The quality of a form and how exactly the client named it; the most exact range counts."""
    exact = [ranges[name] for name in names if name in ranges]
    if exact:
        return max(exact), 2
    group = f"{names[0].partition('/')[0]}/*"
    return (ranges[group], 1) if group in ranges else (ranges.get("*/*", 0.0), 0)

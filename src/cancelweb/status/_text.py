"""Text that a client may have chosen, made fit to be shown."""

from __future__ import annotations

import re

from .._log import printable
from ..causes import Cause

LONGEST = 300
"""Characters of a path that are shown. A client may send 16 KiB of it."""


def shown(text: bytes | str) -> str:
    """The text without control or bidi characters, and cut if it is long."""
    # What is not printable gets longer.
    text = printable(text if len(text) <= LONGEST else text[: LONGEST + 1])
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def reason(cause: Cause | None) -> str | None:
    """Why a request was cancelled."""
    return None if cause is None else shown(str(cause))


def alike(place: str) -> str:
    """A description of work without its numbers, which differ between pieces of the same work.

    A timer's due time, for example, or the id of a thread. Line numbers of code stay.
    """
    return place if re.search(r":\d+ in ", place) else re.sub(r"\d+(\.\d+)?", "0", place)

"""What a method, the name of a header and its value may consist of, in either direction.

Twisted's parsers accept more, and its writers write what they are given.
"""

from __future__ import annotations

import re

from .._scopes.checks import TOKEN

_TOKEN = re.compile(TOKEN.encode("ascii"))
_TEXT = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


def is_token(name: bytes) -> bool:
    """Whether this can be a method, or the name of a header (RFC 9110, section 5.6.2)."""
    return _TOKEN.fullmatch(name) is not None


def is_text(value: bytes) -> bool:
    """Whether this can be the value of a header or a reason phrase: it has no control characters.

    A CR in it would be the end of the line for some clients.
    """
    return _TEXT.fullmatch(value) is not None


def plain(name: bytes) -> bytes:
    """The name of a header in lower case, with ``-`` for ``_``.

    Programs that get headers as variables, such as those for WSGI, see no difference between the
    two, so a client could write with one what is dropped with the other.
    """
    return name.lower().replace(b"_", b"-")

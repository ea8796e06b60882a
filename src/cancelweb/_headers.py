"""Checks of the headers that a cause adds to its answer.

`causes` checks a class when it is defined, and `_http.error_pages` checks an answer before it is
sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")

_OF_THE_BODY = frozenset(
    {"content-encoding", "content-length", "content-type", "transfer-encoding"}
)
"""Headers that describe the body. They are set together with the body, never by a cause."""


def check_headers(name: str, value: object) -> None:
    """Raise a TypeError or ValueError unless the value is a mapping of headers."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping such as {{'Retry-After': '5'}}, not {value!r}")
    for header, text in value.items():
        if not isinstance(header, str) or not isinstance(text, str):
            raise TypeError(f"{name} must map str to str, not {header!r} to {text!r}")
        _check_header(name, header, text)


def _check_header(name: str, header: str, text: str) -> None:
    if not _NAME.fullmatch(header) or not _VALUE.fullmatch(text):
        raise ValueError(f"{name} must be made of printable ASCII, not {header!r}: {text!r}")
    if header.lower() in _OF_THE_BODY:
        raise ValueError(f"{name} must not have {header}: what makes the body, error_page, sets it")
    if header.lower() == "connection" and text.lower() != "close":
        raise ValueError(f"{name} may set Connection to 'close' only, not to {text!r}")

"""The head of an upstream's response: what is not HTTP in it, and what the client gets of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.web.http import NO_CONTENT, NOT_MODIFIED
from twisted.web.iweb import UNKNOWN_LENGTH

from .grammar import is_text, is_token
from .request_head import HOP_BY_HOP

MAX_HEADERS = 500
"""As many as Twisted takes from a client (``HTTPChannel.maxHeaders``)."""


class NotHTTP(Exception):
    """What an upstream has said is not HTTP, or is more than this proxy takes."""


def check_head(response: Any) -> None:
    """Look at the head of a response.

    Raises:
        NotHTTP: a client must not see it.
    """
    if response.version[0] != b"HTTP" or not 200 <= response.code <= 599:
        raise NotHTTP(f"the version {response.version} or the status {response.code} is not HTTP")
    if not is_text(response.phrase):
        raise NotHTTP(f"the reason phrase {response.phrase!r} has control characters")
    _check_headers([*response.headers.getAllRawHeaders()])
    lengths = response.headers.getRawHeaders(b"content-length", [])
    if len(lengths) > 1 or not all(each.isdigit() for each in lengths):
        raise NotHTTP(f"its Content-Length is {lengths!r}")


def _check_headers(headers: list[tuple[bytes, Sequence[bytes]]]) -> None:
    values = [each for _, given in headers for each in given]
    if not all(is_token(name) for name, _ in headers) or not all(map(is_text, values)):
        raise NotHTTP("a header has characters that HTTP forbids")
    if len(values) > MAX_HEADERS:
        raise NotHTTP(f"it has {len(values)} headers, more than {MAX_HEADERS}")


def copy_head(response: Any, request: Any) -> None:
    """Give a request the head of an upstream's response, which `check_head` has looked at."""
    request.setResponseCode(response.code, response.phrase)
    request.defaultContentType = None
    for name, values in response.headers.getAllRawHeaders():
        if name.lower() not in HOP_BY_HOP:
            request.responseHeaders.setRawHeaders(name, values)
    # Twisted's client hides this header, except in the answer to a HEAD. It reports 0 for responses
    # that cannot have a body.
    if response.length is not UNKNOWN_LENGTH and not _is_bodiless(request, response):
        request.setHeader(b"content-length", b"%d" % response.length)


def _is_bodiless(request: Any, response: Any) -> bool:
    return request.method == b"HEAD" or response.code in (NO_CONTENT, NOT_MODIFIED)

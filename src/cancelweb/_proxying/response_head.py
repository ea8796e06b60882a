"""What a client gets of the head of an upstream's response."""

from __future__ import annotations

from typing import Any

from twisted.web.http import NO_CONTENT, NOT_MODIFIED
from twisted.web.iweb import UNKNOWN_LENGTH

from .request_head import HOP_BY_HOP


def copy_head(response: Any, request: Any) -> None:
    """Give a request the head of an upstream's response."""
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

"""The headers that a request has on its way to the upstream.

What it asks for is in `target`; the headers about clients and proxies are in `forwarding`.
"""

from __future__ import annotations

from twisted.web.http import BAD_REQUEST
from twisted.web.http_headers import Headers

from .forwarding import is_about_client
from .grammar import is_text, is_token
from .target import Refused

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers for the next hop alone: RFC 9110, sections 7.6.1 and 11.7."""

_OURS = frozenset({b"host", b"content-length", b"expect"})
"""Headers that this hop sends anew, or has dealt with."""


def relayed(headers: Headers, is_trusted: bool) -> Headers:
    """The headers of a request that are passed on.

    Args:
        headers: the headers that have come.
        is_trusted: whether they come from a proxy that is believed what it says of its client.

    Raises:
        Refused: HTTP forbids the name or the value of a header.
    """
    named = b",".join(headers.getRawHeaders(b"connection", [])).lower().split(b",")
    dropped = HOP_BY_HOP | _OURS | {name.strip() for name in named}
    passed_on = Headers()
    for name, values in headers.getAllRawHeaders():
        if not is_token(name) or not all(map(is_text, values)):
            raise Refused(BAD_REQUEST, "A header has characters that HTTP forbids.")
        if name.lower() not in dropped and (is_trusted or not is_about_client(name)):
            passed_on.setRawHeaders(name, values)
    return passed_on

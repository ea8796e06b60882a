"""The headers that a request has on its way to the upstream.

What it asks for is in `target`; the headers about clients and proxies are in `forwarding`.
"""

from __future__ import annotations

from twisted.web.http import BAD_REQUEST
from twisted.web.http_headers import Headers

from .forwarding import is_about_client
from .grammar import is_text, is_token, plain
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


def relayed(headers: Headers, own: str | None, is_trusted: bool) -> Headers:
    """The headers of a request that are passed on.

    Args:
        headers: the headers that have come.
        own: the header that this server sets to the time that is left, or None.
        is_trusted: whether they come from a proxy that is believed what it says of its client.

    Raises:
        Refused: HTTP forbids the name or the value of a header.
    """
    named = b",".join(headers.getRawHeaders(b"connection", [])).split(b",")
    named.append((own or "").encode("ascii"))
    dropped = HOP_BY_HOP | _OURS | {plain(name.strip()) for name in named}
    passed_on = Headers()
    for name, values in headers.getAllRawHeaders():
        if not is_token(name) or not all(map(is_text, values)):
            raise Refused(BAD_REQUEST, "A header has characters that HTTP forbids.")
        # A proxy writes these headers with "-". What has "_" it has relayed from its client.
        is_believed = is_trusted and b"_" not in name
        is_claim = is_about_client(plain(name)) and not is_believed
        if plain(name) not in dropped and not is_claim:
            passed_on.setRawHeaders(name, values)
    return passed_on

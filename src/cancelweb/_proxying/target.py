"""What of the upstream a request asks for: its path and query, and what is refused.

The rest of a request's head is in `request_head`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from attrs import frozen
from twisted.web.http import BAD_REQUEST, NOT_IMPLEMENTED

from .grammar import is_token

_NOT_RELAYED = frozenset({b"CONNECT", b"TRACE"})
"""A CONNECT asks for a tunnel. A TRACE shows a client what proxies have added."""

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F))).replace("#", "")
"""What is relayed unquoted in a query. Some servers take a ``#`` for the end of the target."""

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)
_SEGMENTS_OF_ORIGIN = 3  # what Twisted makes of "http://host": "ttp:", "" and "host"

_OVERLONG = re.compile(
    rb"(?:\xc0|\xe0\x80|\xf0\x80\x80)[\xae\xaf]|(?:\xc1|\xe0\x81|\xf0\x80\x81)\x9c"
)
"""Longer forms of three characters that UTF-8 forbids, and that some servers decode."""

_MEANT = {0xAE: b".", 0xAF: b"/", 0x9C: b"\\"}
"""Those characters, by the last byte of their longer forms."""

_DECODINGS = 4
"""How many servers in a row may decode what the one before has decoded already."""

_UP = re.compile(rb"[\x00-\x20]*\.[\x00-\x20]*\.(?:[\x00-\x20;?#].*)?", re.DOTALL)
"""A piece that some server takes for ``..``: parameters, blanks and what follows a NUL may go."""

_NOWHERE = re.compile(rb"[\x00-\x20.]*(?:[\x00;?#].*)?", re.DOTALL)
"""A piece that some server takes for ``.`` or leaves out, in the same ways."""


class Refused(Exception):
    """A request that is not relayed.

    Attributes:
        status: the status of the answer.
        detail: what is wrong, for the client.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status, self.detail = status, detail


@frozen
class Target:
    """What a request asks for.

    Attributes:
        path: the path below the proxy, quoted, empty or beginning with a slash.
        query: the query, with its ``?``, or empty.
        authority: the host that the target itself names, or None.
    """

    path: bytes
    query: bytes
    authority: bytes | None


def target_of(request: Any, below: Sequence[bytes]) -> Target:
    """What a request asks for.

    Args:
        request: the request.
        below: the segments of the path below the proxy, as Twisted has decoded them.

    Raises:
        Refused: the proxy does not relay this method, or the path is not one below its prefix.
    """
    _check_method(request.method)
    uri, mark, query = request.uri.partition(b"?")
    absolute = _ABSOLUTE.match(uri)
    if absolute is not None:
        below = _below_origin(uri, below)
    elif not uri.startswith(b"/"):
        raise Refused(BAD_REQUEST, "The path must begin with a slash.")
    _check_path(below)
    path = "".join(f"/{quote(each, safe='')}" for each in below).encode("ascii")
    query = mark + quote(query, safe=_PRINTABLE).encode("ascii") if query else b""
    return Target(path, query, absolute and absolute[1])


def _check_method(method: bytes) -> None:
    if not is_token(method) or method.upper() in _NOT_RELAYED:
        raise Refused(NOT_IMPLEMENTED, "This method is not relayed.")


def _check_path(below: Sequence[bytes]) -> None:
    # Parsers of URLs take what follows two slashes for a host.
    if (len(below) > 1 and not below[0]) or _climbs(below):
        raise Refused(BAD_REQUEST, "This path does not lead to a page of this server.")


def _below_origin(uri: bytes, below: Sequence[bytes]) -> Sequence[bytes]:
    """The segments after the host of an absolute URI (RFC 9112, section 3.2.2).

    Twisted takes such a URI for a path, so only a proxy at the root gets all of it.
    """
    if len(below) != len(uri.split(b"/")):
        raise Refused(BAD_REQUEST, "This server needs the path alone, without a host.")
    return below[_SEGMENTS_OF_ORIGIN:] or [b""]


def _climbs(below: Sequence[bytes]) -> bool:
    """Whether some server may take a path for one outside the directory that it begins in.

    Servers differ in what separates segments and in what they ignore. A step up counts if any of
    them may see it, and a step down only if all of them do.
    """
    depth = 0
    for segment in below:
        pieces = re.split(rb"[/\\]", _decoded(segment))
        ups = sum(_UP.fullmatch(each) is not None for each in pieces)
        depth += -ups if ups else any(_NOWHERE.fullmatch(each) is None for each in pieces)
        if depth < 0:
            return True
    return False


def _decoded(segment: bytes) -> bytes:
    for _ in range(_DECODINGS):
        segment = unquote_to_bytes(segment)
    return _OVERLONG.sub(lambda form: _MEANT[form[0][-1]], segment)

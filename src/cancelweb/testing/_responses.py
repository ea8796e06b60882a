"""Parse what an HTTP/1.1 server sent, as its client would.

Parses as much as there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import define, field
from twisted.web.http import NO_CONTENT, NOT_MODIFIED, SWITCHING
from twisted.web.http_headers import Headers

from .._checks import check_instance

BODILESS = (SWITCHING, NO_CONTENT, NOT_MODIFIED)


def _without_date(headers: Headers) -> list[tuple[bytes, Sequence[bytes]]]:
    return sorted(each for each in headers.getAllRawHeaders() if each[0] != b"Date")


@define
class Response:
    """One answer, as far as it has arrived.

    Two answers of the same version are equal if only their ``Date`` differs, because that depends
    on the time of day.

    Attributes:
        code: the status code.
        headers: the headers, as Twisted's class.
        body: the body, with the chunked encoding decoded.
        is_complete: whether the client can tell that nothing more is to come.
        version: the version of the protocol; empty over HTTP/2.
    """

    code: int
    headers: Headers = field(factory=Headers, eq=_without_date)
    body: bytes = b""
    is_complete: bool = False
    version: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        """The value of a header that occurs at most once; None if it does not occur.

        Raises:
            AssertionError: it occurs more than once.
        """
        check_instance("name", name, bytes, "bytes such as b'Content-Type'")
        values = self.headers.getRawHeaders(name, [])
        if len(values) > 1:
            raise AssertionError(f"header {name!r} occurs {len(values)} times: {values}")
        return values[0] if values else None


def parse(data: bytes, methods: Iterable[bytes], at_end: bool) -> tuple[list[Response], bytes]:
    """The answers in what a server sent, in the order of the requests, and what follows them.

    Args:
        data: all bytes of the connection so far.
        methods: the methods of the requests: nothing else tells which answer has no body.
        at_end: whether the connection is over.
    """
    responses = []
    for method in methods:
        response, data = _head(data)
        if response is None:
            break
        data = _take_body(response, data, method, at_end)
        responses.append(response)
        if not response.is_complete:
            break
    return responses, data


def _head(data: bytes) -> tuple[Response | None, bytes]:
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not separator:
        return None, data
    status_line, *lines = head.split(b"\r\n")
    version, status, *_ = status_line.split(b" ", 2)
    code = int(status)
    if code < 200 and code != SWITCHING:
        # An informational answer, such as 100 Continue, comes before the real one (RFC 9110, 15.2).
        return _head(rest)
    response = Response(code, version=version)
    for line in lines:
        name, _, value = line.partition(b":")
        response.headers.addRawHeader(name, value.strip())
    return response, rest


def _take_body(response: Response, data: bytes, method: bytes, at_end: bool) -> bytes:
    """Read the body, and return what follows it."""
    length = _first(response, b"content-length")
    if method == b"HEAD" or response.code in BODILESS:
        response.is_complete = True
        return data
    if _first(response, b"transfer-encoding") == b"chunked":
        return _take_chunks(response, data)
    size = len(data) if length is None else int(length)
    response.body = data[:size]
    response.is_complete = at_end if length is None else len(response.body) == size
    return data[size:]


def _first(response: Response, name: bytes) -> bytes | None:
    values = response.headers.getRawHeaders(name)
    return values[0] if values else None


def _take_chunks(response: Response, data: bytes) -> bytes:
    while b"\r\n" in data and not response.is_complete:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        response.body += data[:size]
        response.is_complete = size == 0
        data = data[size + 2 :]
    return data

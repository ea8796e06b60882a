"""What a client of HTTP/1 makes of the bytes that a server sent.

What belongs here: parsing, as strict as a test wants it. What does not: connections.
"""

from collections.abc import Iterator

from attrs import Factory, define

BODILESS = (204, 304)


@define
class Response:
    """A response, as far as it has come.

    Attributes:
        headers: Their names in lower case. `Date`, which the clock on the wall decides, is
            left out.
        body: With the chunked encoding undone.
        is_complete: Whether the client can tell that there is no more to come.
    """

    status: int
    headers: dict[bytes, bytes] = Factory(dict)
    body: bytes = b""
    is_complete: bool = False
    version: bytes = b""


def parsed(data: bytes, methods: list[bytes], at_end: bool = False) -> Iterator[Response]:
    """The responses in what a server sent.

    Args:
        data: What was sent.
        methods: Those of the requests, since nothing else tells which answer has no body.
        at_end: Whether the server has closed the connection.
    """
    for method in methods:
        head, separator, data = data.partition(b"\r\n\r\n")
        if not separator:
            assert not head, f"half a head: {head!r}"
            return
        response = _parsed_head(head)
        data = _take_body(response, data, method, at_end)
        yield response
    assert not data, f"more than was asked for: {data!r}"


def _parsed_head(head: bytes) -> Response:
    status_line, *lines = head.split(b"\r\n")
    version, status, _ = status_line.split(b" ", 2)
    response = Response(int(status), version=version)
    for line in lines:
        name, value = line.split(b": ", 1)
        if name.lower() != b"date":
            assert name.lower() not in response.headers, f"{name!r} twice"
            response.headers[name.lower()] = value
    return response


def _take_body(response: Response, data: bytes, method: bytes, at_end: bool) -> bytes:
    """Read the body; returns what follows it."""
    length = response.headers.get(b"content-length")
    if method == b"HEAD" or response.status in BODILESS:
        response.is_complete = True
        return data
    if response.headers.get(b"transfer-encoding") == b"chunked":
        return _take_chunks(response, data)
    size = len(data) if length is None else int(length)
    response.body = data[:size]
    response.is_complete = at_end if length is None else len(response.body) == size
    return data[size:]


def _take_chunks(response: Response, data: bytes) -> bytes:
    while data:
        size, _, data = data.partition(b"\r\n")
        end = int(size, 16)
        response.body += data[:end]
        assert data[end : end + 2] == b"\r\n", data
        data = data[end + 2 :]
        if end == 0:
            response.is_complete = True
            break
    return data

"""The frames of HTTP/2 (RFC 9113, section 4) in bytes that one side has sent.

What belongs here: naming them. What does not: what they must be.
"""

from collections.abc import Iterator

from hyperframe.frame import Frame


def frames(data: bytes) -> Iterator[str]:
    """The names of the frames, as hyperframe has them, such as "HeadersFrame"."""
    left = memoryview(data)
    while left:
        frame, length = Frame.parse_frame_header(left[:9])
        yield type(frame).__name__
        left = left[9 + length :]

"""Records of work that is still running, or may be: `Survivor` and `LetGo`.

Users find both in `cancelweb.monitor`.
"""

from __future__ import annotations

from attrs import frozen

from .causes import Cause


@frozen(eq=False)
class Survivor:
    """Work that was asked to stop and was still running some seconds later.

    The record describes the work at the moment when it was found to be still running.

    Attributes:
        method: the method of the request, such as ``b"GET"``.
        path: the target of the request, still quoted, without the query.
        cause: why the work was asked to stop: the cause of its scope, or
            `cancelweb.ResponseFinished`.
        since: when the work was asked to stop, in seconds on the scope's clock.
        where: where the work waits, as far as Python can tell. This is a chain of awaits, one
            ``file:line in function`` per line, the innermost last; or the id of a thread or
            process; or a description of the work. Of a long chain, these are the first 4 lines, a
            line that says how many were left out, and the last 8 lines.
    """

    method: bytes
    path: bytes
    cause: Cause
    since: float
    where: str


@frozen(eq=False)
class LetGo:
    """Work that nothing could stop. It may still be running.

    The record describes the work at the moment when its scope stopped waiting for it.

    Attributes:
        method: the method of the request, such as ``b"GET"``.
        path: the target of the request, still quoted, without the query.
        cause: why the work had to stop: the cause of its scope, or `cancelweb.ResponseFinished`.
            If the request was spared, this is the cause that would have cancelled it.
        since: when the scope stopped waiting, in seconds on the scope's clock.
        where: the place where the work waited, in one line, as far as Python can tell:
            ``file:line in function``.
    """

    method: bytes
    path: bytes
    cause: Cause
    since: float
    where: str

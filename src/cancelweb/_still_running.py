"""What is told of work that was asked to stop, and still runs or may do so.

Frozen records; what users know of them stands in `monitor`.
"""

from __future__ import annotations

from attrs import frozen

from .causes import Cause


@frozen(eq=False)
class Survivor:
    """Work that outlived its cancellation, as it was when that was noticed.

    Attributes:
        method: the method of its request, such as ``b"GET"``.
        path: the target of its request, still quoted, without the query.
        cause: why it was asked to stop: the cause of its scope, or that the response was finished.
        since: when it was; seconds, on the scope's clock.
        where: what it waits at, as far as Python can tell: a chain of awaits, one ``file:line in
            function`` a line, the innermost last; a thread's or process's id; or a description.
    """

    method: bytes
    path: bytes
    cause: Cause
    since: float
    where: str


@frozen(eq=False)
class LetGo:
    """Work that nothing could stop, as it was when its scope ceased to wait for it.

    Attributes:
        method: the method of its request, such as ``b"GET"``.
        path: the target of its request, still quoted, without the query.
        cause: why it was to be stopped: as that of a `Survivor`, or, of a request that was spared,
            what would have cancelled it.
        since: when its scope ceased to wait; seconds, on the scope's clock.
        where: the place where it waited, in one line: ``file:line in function``, as far as Python
            can tell.
    """

    method: bytes
    path: bytes
    cause: Cause
    since: float
    where: str

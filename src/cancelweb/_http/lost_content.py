"""Replacements of ``request.content``: reading it after a disconnect raises `ContentLost`.

Twisted closes the content of a request whose client has left. Reading a closed file raises a
ValueError, which looks like a bug. After a finished response ``content`` is as in plain Twisted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn
from weakref import ref

from .._scopes.finding import SCOPE, scope_or_none
from .._scopes.scope import Scope
from .._scopes.states import Fate
from ..causes import ContentLost, Disconnected
from .request_facts import fate_of


class LostContent:
    """The content of every lost request. ``close`` does nothing; any other method raises."""

    closed = True

    def close(self) -> None:
        """Do nothing: Twisted has closed the content."""

    def read(self, *args: object, **kwargs: object) -> NoReturn:
        """Raise `ContentLost`, because an empty result would look like an empty upload."""
        raise ContentLost(_cause_in(scope_or_none()))

    __enter__ = __exit__ = __iter__ = __next__ = read
    detach = fileno = flush = getbuffer = getvalue = isatty = peek = read1 = readable = readinto = (
        readinto1
    ) = readline = readlines = seek = seekable = tell = truncate = writable = write = writelines = (
        read
    )


LOST_CONTENT = LostContent()


class ThreadContent:
    """The content of a request for code in a thread, which may keep it after the client has left.

    Args:
        request: the request, whose content is an open file.
    """

    def __init__(self, request: Any) -> None:
        self._content = request.content
        self._request = ref(request)

    def __iter__(self) -> ThreadContent:
        return self

    def __next__(self) -> bytes:
        line: bytes = self.readline()
        if not line:
            raise StopIteration
        return line

    def __enter__(self) -> ThreadContent:
        return self

    def __exit__(self, *_: object) -> None:
        self._content.close()

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._content, name)
        return partial(self._call, attribute) if callable(attribute) else attribute

    def _call(self, method: Callable[..., object], *args: object, **kwargs: object) -> object:
        try:
            return method(*args, **kwargs)
        except ValueError:
            request = self._request()
            if request is None or not self._content.closed or not _is_lost(request):
                raise
            raise ContentLost(_cause_in(getattr(request, SCOPE, None))) from None


def _is_lost(request: Any) -> bool:
    # A client that left with the whole response counts as finished, but its content is closed, too.
    return fate_of(request) is Fate.LOST or request.content is LOST_CONTENT


def tell_threads_of_loss(request: Any) -> None:
    """Make ``request.content`` raise `ContentLost` even in code that keeps it; idempotent."""
    content = getattr(request, "content", None)  # Test doubles may have none.
    if not isinstance(content, ThreadContent | LostContent | None):
        request.content = ThreadContent(request)


def _cause_in(scope: Scope | None) -> Disconnected:
    """The disconnect that cancelled a scope, or would have; if there is none, a new one."""
    if scope is not None:
        for cause in (scope.cause, scope.would_have_cancelled):
            if isinstance(cause, Disconnected):
                return cause
    return Disconnected()

"""Faked HEAD requests: Twisted renders a GET if a resource has no ``render_HEAD``.

Twisted first calls the handler for HEAD, which raises `UnsupportedMethod`. It then calls the
handler for GET, and finishes the request as soon as that returns ``NOT_DONE_YET``. cancelweb does
the following:

* It withdraws the scope of the first call, without hooks and observers (`will_be_faked`).
* During the second call it does not finish a response that the handler has written itself, and
  closes a stream unread (`is_faked_head`). A result that is returned at once is passed on as usual.
* Once Twisted has finished the request, the work that the handler returned is leftover work and is
  stopped (`was_faked_head`).
"""

from __future__ import annotations

from typing import Any

from twisted.web.error import UnsupportedMethod

from .._twisted.access import is_in_fake_head


def is_faked_head(request: Any) -> bool:
    """Whether Twisted is rendering a GET for a HEAD at this moment.

    Twisted then finishes the response itself. A stream is closed unread, because none of it would
    be sent.
    """
    return is_in_fake_head(request)


def was_faked_head(request: Any, method: bytes) -> bool:
    """Whether the handler was called with this method for a HEAD request.

    The response is then finished, and the work that the handler returned is leftover work.
    """
    return bool(request.method == b"HEAD" and method != b"HEAD")


def will_be_faked(error: object, method: bytes) -> bool:
    """Whether Twisted will answer this error by calling the handler again, as for a GET."""
    if not isinstance(error, UnsupportedMethod):
        return False
    return method == b"HEAD" and b"GET" in error.allowedMethods

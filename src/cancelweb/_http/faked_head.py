"""Faked HEAD requests: Twisted renders a GET for a HEAD where a resource has no ``render_HEAD``.

It calls the handler for HEAD first, which raises `UnsupportedMethod`, then for GET, and finishes
the request as soon as it is given ``NOT_DONE_YET``. What cancelweb does, by the questions below:

* The scope of the first call is withdrawn, without hooks and observers (`will_be_faked`).
* During the second, what the handler has written by itself is not finished, and a stream is closed
  unread (`is_faked_head`). A result that is there at once is given back as ever.
* When Twisted has finished the request, what the handler returned is leftover work, and is stopped
  (`was_faked_head`).
"""

from __future__ import annotations

from typing import Any

from twisted.web.error import UnsupportedMethod

from .._twisted.access import is_in_fake_head


def is_faked_head(request: Any) -> bool:
    """Whether a GET is rendered for a HEAD just now.

    What the handler has written by itself must not be finished then: Twisted does that. A stream is
    closed unread, since nothing of it would be sent.
    """
    return is_in_fake_head(request)


def was_faked_head(request: Any, method: bytes) -> bool:
    """Whether a handler was called with this method for a HEAD: it runs on for nothing.

    Its response is finished, and what it returned is stopped as leftover work.
    """
    return bool(request.method == b"HEAD" and method != b"HEAD")


def will_be_faked(error: object, method: bytes) -> bool:
    """Whether Twisted answers this error of a handler by calling it once more, with a GET."""
    if not isinstance(error, UnsupportedMethod):
        return False
    return method == b"HEAD" and b"GET" in error.allowedMethods

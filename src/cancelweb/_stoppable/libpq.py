"""Cancel requests of psycopg2, sent by libpq without holding Python's lock.

psycopg2's own `cancel` holds that lock for a network round trip, and so blocks the reactor. ctypes
releases it. A request has the secret key of its connection. So it cannot hit another session, not
even behind a load balancer or PgBouncer, where `pg_cancel_backend` could: it has only a number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from ctypes import CDLL, c_char_p, c_int, c_void_p, create_string_buffer
from functools import cache
from typing import Any

from attrs import frozen

from .._log import log

ERROR_SIZE = 256
"""The bytes that libpq wants for a message of PQcancel."""


@frozen(eq=False)
class Request:
    """What libpq needs to cancel what a connection does; call this from any thread."""

    _libpq: CDLL
    _address: int

    def __call__(self) -> None:
        """Send the request, and wait until the server has sent the signal.

        Raises:
            OSError: the request failed.
        """
        message = create_string_buffer(ERROR_SIZE)
        if not self._libpq.PQcancel(self._address, message, ERROR_SIZE):
            raise OSError(message.value.decode(errors="replace").strip())

    def __del__(self) -> None:
        self._libpq.PQfreeCancel(self._address)


def cancel_request(connection: Any) -> Callable[[], object]:
    """What cancels the statements of a psycopg2 connection; call this in its own thread.

    Without libpq's functions, as where libpq is part of psycopg2 itself, that is its `cancel`.
    """
    libpq = _libpq(sys.modules["psycopg2._psycopg"].__file__)
    if libpq is None:
        cancel: Callable[[], object] = connection.cancel
        return cancel
    return Request(libpq, libpq.PQgetCancel(connection.pgconn_ptr))


@cache
def _libpq(path: str | None) -> CDLL | None:
    # A library that was loaded finds the functions of all that it is linked with: the same libpq.
    libpq = CDLL(path)
    try:
        libpq.PQgetCancel.argtypes, libpq.PQgetCancel.restype = [c_void_p], c_void_p
        libpq.PQcancel.argtypes, libpq.PQcancel.restype = [c_void_p, c_char_p, c_int], c_int
        libpq.PQfreeCancel.argtypes, libpq.PQfreeCancel.restype = [c_void_p], None
    except AttributeError:
        log.warn(
            "psycopg2 keeps libpq to itself: while a query is cancelled, the reactor waits for the "
            "network. Use psycopg 3, or a psycopg2 that is linked with libpq"
        )
        return None
    return libpq

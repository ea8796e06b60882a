"""Checks sockets that a supervisor hands down, before Twisted adopts one: ``--listen systemd:...``.

Twisted reads what was handed down when it is imported. It does not explain what is wrong with it,
and accepts some sockets that it cannot serve. `service` leaves the socket in the end.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from twisted.internet.endpoints import serverFromString

from .._kinds.cancellers import global_reactor

ANY = "systemd:domain=INET:index=0"
"""A description of the first socket. Twisted looks at its domain only when it listens."""

NEEDED = (
    "a supervisor must set LISTEN_PID, LISTEN_FDS, and LISTEN_FDNAMES with a name for each socket"
)


def is_handed_down(description: str) -> bool:
    """Whether an endpoint is a socket that is handed down, maybe behind ``haproxy:``."""
    return _unwrapped(description).lower().startswith("systemd:")


def _unwrapped(description: str) -> str:
    kind, _, rest = description.partition(":")
    # Twisted finds plugins in any case.
    return _unwrapped(rest) if kind.lower() == "haproxy" else description


def take(description: str, taken: set[int]) -> None:
    """Check the socket of an endpoint, and add its descriptor to the taken ones.

    Raises:
        ValueError: there is no such socket, it cannot be served, or it is taken.
    """
    descriptor, family = _descriptor_of(_unwrapped(description))
    if descriptor in taken:
        raise ValueError(
            f"descriptor {descriptor} is already that of another option: let the supervisor hand "
            "down one socket for each"
        )
    try:
        opened = socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        raise ValueError(
            f"descriptor {descriptor} is not an open socket: {error.strerror}"
        ) from error
    with opened:
        for reason in _objections(opened, family):
            raise ValueError(f"descriptor {descriptor} {reason}")
    taken.add(descriptor)


def _descriptor_of(description: str) -> tuple[int, int]:
    """The descriptor, and the family that the description claims."""
    try:
        endpoint = serverFromString(global_reactor(), description)
    except (IndexError, KeyError) as error:
        raise ValueError(_why_missing(by_name=isinstance(error, KeyError))) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            "must have a domain, INET or INET6, and either an index or a name, such as "
            "systemd:domain=INET:name=web"
        ) from error
    return endpoint.fileno, endpoint.addressFamily


def _why_missing(by_name: bool) -> str:
    """Why there is no such socket."""
    # Twisted removes LISTEN_PID and LISTEN_FDS if they are this process's own, and numbers.
    meant_for, names = os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDNAMES")
    if meant_for is not None:
        return _why_not_read(meant_for)
    if not names:
        return (
            f"no socket was handed down, because LISTEN_FDNAMES is not set: {NEEDED}. systemd does "
            "so, and systemd-socket-activate with --fdname=web"
        )
    if not _is_any_handed_down():
        return f"no socket was handed down for the LISTEN_FDNAMES {names}: {NEEDED}"
    if by_name:
        return f"no socket has this name. LISTEN_FDNAMES is {names}"
    return f"the indexes of the sockets begin with 0, and LISTEN_FDNAMES has only {names}"


def _why_not_read(meant_for: str) -> str:
    if meant_for != str(os.getpid()):
        return (
            f"LISTEN_PID is {meant_for}, and this is process {os.getpid()}: have the supervisor "
            "start this program itself, or a shell that runs it with exec"
        )
    return f"LISTEN_FDS must be the number of sockets, not {os.environ.get('LISTEN_FDS')!r}"


def _is_any_handed_down() -> bool:
    try:
        serverFromString(global_reactor(), ANY)
    except IndexError:
        return False
    return True


def _objections(opened: socket.socket, family: int) -> Iterator[str]:
    """Why a socket cannot be served, the first reason first."""
    if opened.type != socket.SOCK_STREAM:
        yield f"is not a TCP socket, but a {opened.type.name}"
    if not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        yield (
            "does not listen. A connection cannot be handed down, as with Accept=yes: write "
            "Accept=no"
        )
    if opened.family != family:
        yield f"needs domain={opened.family.name.removeprefix('AF_')}"
    if opened.family == socket.AF_UNIX:
        yield (
            "is a UNIX socket, whose file Twisted deletes when the first process stops, so that no "
            "client reaches the others: hand down a TCP socket"
        )

"""Wrap a factory, such as a Site, to look after its connections, whatever their requests.

Notices clients that have vanished without closing their connection (TCP keepalive), and bounds what
an HTTP/2 client can make the server keep (CONTINUATION flood, protocol errors).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IProtocolFactory, ITCPTransport
from twisted.protocols.policies import ProtocolWrapper

from ._log import log
from ._twisted.checks import check

__all__ = ["bound_http2", "notice_vanished"]

FactoryT = TypeVar("FactoryT")

LONGEST = 2 * 32767
"""Seconds. Half of this is the most that Linux accepts for ``TCP_KEEPIDLE``."""


def notice_vanished(factory: FactoryT, seconds: int) -> FactoryT:
    """Make a factory's connections break when nothing is heard from the client for a while.

    A client whose cable is pulled, or whose phone is in a tunnel, closes nothing. Over HTTP/1.1,
    Twisted would wait for it forever. With this function, its connection is lost ``seconds`` after
    the last sign of life, or a little sooner, even while data is being sent to it. The client need
    not send anything: its system answers the probes.

    The options are those of TCP (tcp(7) of Linux). Keepalive serves connections on which nothing is
    sent, and ``TCP_USER_TIMEOUT`` (RFC 5482) those on which data is sent. The latter also breaks
    the connection of a client that is present but has accepted no data for that long.

    Connections other than TCP, such as UNIX sockets, are left alone. Only Linux has
    ``TCP_USER_TIMEOUT``. If the platform lacks an option, this call logs a warning and the other
    options are set.

    Args:
        factory: a Site, or any other protocol factory, for TCP or TLS.
        seconds: a whole number from 2 to 65534.

    Returns:
        The factory to listen with instead. It looks and behaves the same otherwise.

    Raises:
        TypeError, ValueError: an argument is wrong. The message says which one, and what to pass.
    """
    _check_factory(factory)
    check_silence(seconds)
    configure = partial(_configure, dict(_options(seconds)))
    prepare = partial(_before_connection, configure=configure)
    return cast(FactoryT, _Preparing(factory, "notice_vanished", prepare))


def bound_http2(factory: FactoryT) -> FactoryT:
    """Bound what the client of an HTTP/2 connection can make the server keep.

    If a client breaks the protocol, or resets streams too quickly, Twisted answers GOAWAY. But
    while the client stays, Twisted goes on reading, and the library h2 keeps all of it. With this
    function the connection is closed at once: nothing more is read, and the client has one second
    to take what it was sent. If the client says goodbye and stays, the rest is dropped. The table
    with which h2 compresses headers is limited to 64 KiB.

    Connections over HTTP/1.1 are left alone. If h2 is not installed, there are no others. This may
    be combined with `notice_vanished`, in any order.

    Args:
        factory: a Site, or any other protocol factory.

    Returns:
        The factory to listen with instead. It looks and behaves the same otherwise.

    Raises:
        TypeError: ``factory`` is not a protocol factory.
    """
    _check_factory(factory)
    if find_spec("h2") is None or not check("bounds"):
        return factory
    from ._operating.http2_bounds import bound

    return cast(FactoryT, _Preparing(factory, "bound_http2", bound))


def _check_factory(factory: object) -> None:
    if not IProtocolFactory.providedBy(factory):
        raise TypeError(f"factory must be a protocol factory such as a Site, not {factory!r}")


def check_silence(seconds: object) -> None:
    """Raise a TypeError or ValueError unless these are seconds for `notice_vanished`."""
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise TypeError(f"seconds must be a whole number of seconds, not {seconds!r}")
    if not 2 <= seconds <= LONGEST:
        raise ValueError(f"seconds must be from 2 to {LONGEST}, not {seconds!r}")


def _options(seconds: int) -> Iterator[tuple[int, int]]:
    """The options to set on a TCP socket, with their values.

    With a user timeout, Linux breaks a silent connection at the first probe after that time. So one
    probe must fall into the last interval before ``seconds`` are over.
    """
    interval = max(1, seconds // 20)
    idle = seconds // 2
    wanted = [
        (["TCP_KEEPIDLE", "TCP_KEEPALIVE"], idle),  # the second on macOS
        (["TCP_KEEPINTVL"], interval),
        (["TCP_KEEPCNT"], (seconds - idle) // interval),
        (["TCP_USER_TIMEOUT"], 1000 * (seconds - interval)),
    ]
    for names, value in wanted:
        known = [getattr(socket, name) for name in names if hasattr(socket, name)]
        if known:
            yield known[0], value
        else:
            log.warn(
                "this platform has no {option}: some clients that vanish will be noticed later "
                "than after {seconds} s, or not at all",
                option=names[0],
                seconds=seconds,
            )


class _Preparing:
    """Behaves as another factory, and prepares the protocols that it builds."""

    def __init__(self, factory: Any, name: str, prepare: Callable[[Any], None]) -> None:
        self._factory, self._name, self._prepare = factory, name, prepare

    def __getattr__(self, name: str) -> Any:
        # This also forwards its interfaces: by one of them TLS finds that it speaks HTTP/2.
        return getattr(self._factory, name)

    def __repr__(self) -> str:
        return f"<{self._name} {self._factory!r}>"

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 - Twisted's name
        """See `IProtocolFactory`."""
        protocol = self._factory.buildProtocol(addr)
        if protocol is not None:
            self._prepare(protocol)
        return protocol


def _configure(options: dict[int, int], transport: Any) -> None:
    while isinstance(transport, ProtocolWrapper):
        # A wrapper, such as TLS.
        transport = transport.transport
    # Twisted's transport of a UNIX socket claims to be one of TCP.
    is_tcp = ITCPTransport.providedBy(transport)
    if is_tcp and isinstance(transport.getHost(), IPv4Address | IPv6Address):
        transport.setTcpKeepAlive(True)
        for option, value in options.items():
            transport.getHandle().setsockopt(socket.IPPROTO_TCP, option, value)


def _before_connection(protocol: Any, configure: Callable[[Any], None]) -> None:
    """Configure the transport before the protocol receives it.

    Nothing is put between the two: code that takes over a connection, for a WebSocket, needs both
    as Twisted made them.
    """
    make_connection = protocol.makeConnection

    def configure_first(transport: Any) -> None:
        del protocol.makeConnection
        configure(transport)
        make_connection(transport)

    protocol.makeConnection = configure_first

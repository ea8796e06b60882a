"""What the upstream is told about the client: its address, its scheme, and the Host it asked for.

Any client can write these headers, so they are believed only if a trusted proxy has sent them.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Any

from attrs import frozen
from twisted.internet.address import UNIXAddress
from twisted.web.http_headers import Headers

from .._checks import is_several, shown

UNIX = "unix"
"""Stands for the other end of a UNIX socket, which has no address."""

_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")

_QUOTED = re.compile(rb'(?:[^"]|"(?:[^"\\]|\\.)*")*')
"""Text in which each quotation mark has its other one."""

_FOR, _PROTO = b"X-Forwarded-For", b"X-Forwarded-Proto"
_HOST_ASKED, _REAL_IP, _FORWARDED = b"X-Forwarded-Host", b"X-Real-IP", b"Forwarded"


def is_about_client(name: bytes) -> bool:
    """Whether a header, whose name is `plain`, says something of the client in front of a proxy."""
    return name.startswith(b"x-forwarded-") or name in (b"forwarded", b"x-forwarded", b"x-real-ip")


@frozen
class Trusted:
    """The proxies in front that are believed: their networks, and perhaps `UNIX`."""

    _networks: tuple[Any, ...]
    _has_unix: bool

    @classmethod
    def of(cls, given: object) -> Trusted:
        """Read what a user has given.

        Raises:
            TypeError: the value is not a list, tuple or set of str.
            ValueError: one of them is not an address or a network.
        """
        if not is_several(given):
            text = "trusted must be a list, tuple or set, such as ['127.0.0.1']"
            raise TypeError(f"{text}, not {shown(given)}")
        names = list(given)
        return cls(tuple(_network_of(each) for each in names if each != UNIX), UNIX in names)

    def __bool__(self) -> bool:
        return self._has_unix or bool(self._networks)

    def has(self, peer: str | None) -> bool:
        """Whether a proxy with this address, or on a UNIX socket, is believed."""
        if peer == UNIX:
            return self._has_unix
        address = _address_of(peer)
        return address is not None and any(address in each for each in self._networks)


def _network_of(name: object) -> Any:
    if not isinstance(name, str):
        raise TypeError(f"trusted must hold str such as '127.0.0.1', not {name!r}")
    try:
        return ip_network(name)
    except ValueError as error:
        raise ValueError(
            "trusted must hold addresses such as '127.0.0.1', networks such as '10.0.0.0/8', or "
            f"'unix', not {name!r}: {error}"
        ) from None


def _address_of(text: str | None) -> Any:
    """An address without its zone, which means something to one machine alone; or None.

    On a socket for both versions of IP, IPv4 addresses look like IPv6.
    """
    try:
        address: Any = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def peer_of(request: Any) -> str | None:
    """The address of the other end of the connection, or `UNIX`, or None if it is unknown."""
    peer = request.getClientAddress()
    if isinstance(peer, UNIXAddress):
        return UNIX
    address = _address_of(getattr(peer, "host", None))
    return None if address is None else str(address)


def tell(headers: Headers, request: Any, host: bytes | None, trusted: Trusted) -> None:
    """Set the headers about the client.

    What a trusted proxy has said stays, and its own address is added to it. If it uses only one of
    the two ways, ``X-Forwarded-For`` or ``Forwarded``, the other is not begun: its first entry
    would be taken for the client.

    Args:
        headers: the headers on their way to the upstream, with those of a trusted proxy.
        request: the request.
        host: the host that its target names, or None if its header ``Host`` does.
        trusted: the proxies that are believed.
    """
    peer = peer_of(request)
    node = None if peer in (None, UNIX) else peer
    scheme = b"https" if request.isSecure() else b"http"
    asked = _host_of(request, host)
    if not _QUOTED.fullmatch(b",".join(headers.getRawHeaders(_FORWARDED, []))):
        # What is appended would be part of the quotation.
        headers.removeHeader(_FORWARDED)
    has_plain, has_standard = headers.hasHeader(_FOR), headers.hasHeader(_FORWARDED)
    if has_plain or not has_standard:
        _tell_plain(headers, node, trusted)
        _default(headers, _PROTO, scheme)
        _default(headers, _HOST_ASKED, asked)
    if has_standard or not has_plain:
        _append(headers, _FORWARDED, _element(node, asked, scheme))


def _host_of(request: Any, host: bytes | None) -> bytes | None:
    given = request.requestHeaders.getRawHeaders(b"host", []) if host is None else [host]
    return given[0] if len(given) == 1 and _HOST.fullmatch(given[0]) else None


def _tell_plain(headers: Headers, node: str | None, trusted: Trusted) -> None:
    if node is not None:
        _append(headers, _FOR, node.encode("ascii"))
    chain = b",".join(headers.getRawHeaders(_FOR, [])).decode("latin-1").split(",")
    _default(headers, _REAL_IP, _first_untrusted([each.strip() for each in chain], trusted))


def _first_untrusted(chain: list[str], trusted: Trusted) -> bytes | None:
    """The address nearest to this server that is not a trusted proxy's, or else the farthest."""
    nearest = next((each for each in reversed(chain) if not trusted.has(each)), chain[0])
    address = _address_of(nearest)
    return None if address is None else str(address).encode("ascii")


def _element(node: str | None, host: bytes | None, scheme: bytes) -> bytes:
    """One hop, as RFC 7239 writes it."""
    shown = "unknown" if node is None else f'"[{node}]"' if ":" in node else node
    asked = b"" if host is None else b';host="' + host + b'"'
    return b"for=" + shown.encode("ascii") + asked + b";proto=" + scheme


def _append(headers: Headers, name: bytes, value: bytes) -> None:
    headers.setRawHeaders(name, [b", ".join([*headers.getRawHeaders(name, []), value])])


def _default(headers: Headers, name: bytes, value: bytes | None) -> None:
    if value is not None and not headers.hasHeader(name):
        headers.setRawHeaders(name, [value])

"""Keeps the port of the status page on the loopback interface, unless its endpoint names another.

The page has no password. Endpoints may wrap others or be plugins, so the address is checked, too.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IListeningPort

INTERFACES = {"tcp": "127.0.0.1", "ssl": "127.0.0.1", "tcp6": r"\:\:1", "tls": r"\:\:1"}
"""The loopback interface for each kind of endpoint that Twisted has on all interfaces otherwise."""


def endpoint_from(description: str) -> str:
    """Read an endpoint. It is on loopback, unless it names an interface."""
    if description.isdecimal():
        description = f"tcp:{description}"
    kind, _, rest = description.partition(":")
    # Twisted finds plugins in any case.
    if kind.lower() == "haproxy":
        return f"{kind}:{endpoint_from(rest)}"
    interface = INTERFACES.get(kind.lower())
    if interface is None or names_interface(description):
        return description
    return f"{description}:interface={interface}"


def names_interface(description: str) -> bool:
    """Whether an endpoint has an interface among its parts, which colons without backslash end."""
    parts = re.findall(r"((?:[^\\:]|\\.)*)(?::|$)", description)
    return any(re.match("interface=.", part) for part in parts)


def on_loopback(port: IListeningPort) -> IListeningPort:
    """Check that a port that listens can be reached from this machine alone.

    Raises:
        OSError: it listens elsewhere, too. It accepts no client, and is closed.
    """
    address = port.getHost()
    if isinstance(address, UNIXAddress) or _is_loopback(address):
        return port
    port.stopListening()
    raise OSError(
        f"this endpoint listens on {getattr(address, 'host', address)}, where other machines can "
        "open the status page, which has no password. If you want that, take an endpoint such "
        "as tcp, and add :interface=... with the address of the interface. Otherwise, have it "
        "listen on 127.0.0.1"
    )


def _is_loopback(address: object) -> bool:
    return isinstance(address, IPv4Address | IPv6Address) and ip_address(address.host).is_loopback

"""Refuses requests that the web pages of other sites have a browser send to the status page.

A page can point its own name at 127.0.0.1 (DNS rebinding). The browser then lets it read whatever
is served there. Such a request has the page's name as its host.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Any

from attrs import frozen
from twisted.web.http import FORBIDDEN
from twisted.web.server import Request

from ._text import shown


@frozen
class Refusal:
    """The answer to a refused request: its status, the status in words, and the reason."""

    code: int
    phrase: bytes
    reason: str


def misdirected(name: str) -> Refusal:
    """Refuse a request for another name."""
    return Refusal(
        421,  # RFC 9110, section 15.5.20
        b"Misdirected Request",
        f"The status page cannot be opened as {shown(name) or 'this'}. Open it as localhost or by "
        "its own address, or allow this name with hosts=... or --status-host.\n",
    )


def forbidden(page: str) -> Refusal:
    """Refuse the request of a page of another site."""
    return Refusal(FORBIDDEN, b"Forbidden", f"{page} cannot use the status page.\n")


@frozen
class Hosts:
    """The names and addresses by which the page may be opened from anywhere, as `_plain` ones."""

    names: frozenset[str]

    @classmethod
    def checked(cls, hosts: Collection[str]) -> Hosts:
        """The names that the owner gives, and localhost.

        Raises:
            TypeError: ``hosts`` is not a collection of str.
            ValueError: one of them is not a name or an address alone.
        """
        is_collection = isinstance(hosts, Collection) and not isinstance(hosts, str)
        if not is_collection or not all(isinstance(each, str) for each in hosts):
            raise TypeError(
                f"hosts must be a collection of names such as ['status.example'], not {hosts!r}"
            )
        for each in hosts:
            if not each or (re.search(r"[:/\s]", each) and _address(each) is None):
                raise ValueError(
                    f"hosts must be names without a scheme or a port, not {each!r}; write "
                    "'status.example', for example"
                )
        return cls(frozenset(["localhost", *(_plain(each) for each in hosts)]))

    def refusal(self, request: Request) -> Refusal | None:
        """Why a request is refused, or None if it is not."""
        names = set(_names_of(request))
        own = {*self.names, _own_address(request)}
        for name in names:
            if name not in own and not _is_loopback(name):
                return misdirected(name)
        origin = request.getHeader(b"origin")
        if origin is not None and _name_in(origin) not in {*self.names, *names}:
            return forbidden(f"Pages of {shown(origin)}")
        if _is_for_page_elsewhere(request):
            return forbidden("Pages of other sites")
        return None


def _names_of(request: Request) -> Iterator[str]:
    """The names by which a client asks for the page. Only a client without Host has none.

    Browsers always send one.
    """
    for host in request.requestHeaders.getRawHeaders(b"host", ()):
        yield _name_of(host)
    if b"://" in request.uri.partition(b"?")[0]:
        # Such a target has a host of its own, which counts instead (RFC 9112, section 3.2.2).
        yield _name_in(request.uri)


def _name_in(url: bytes) -> str:
    """The name or the address in a URL; empty if there is none."""
    found = re.match(rb"(?:[^:/]+:)?//([^/?#]*)", url)
    return "" if found is None else _name_of(found[1])


def _name_of(host: bytes) -> str:
    """The name or the address of a host that may have a port; empty if it is neither."""
    found = re.fullmatch(rb"(\[[^]]+\]|[^][:@/?#\s]+)(?::\d*)?", host)
    return "" if found is None else _plain(found[1].decode("latin-1").strip("[]"))


def _is_for_page_elsewhere(request: Request) -> bool:
    """Whether the page of another site embeds this, or fetches it. A link to it may do so.

    Such a request may have no Origin: the page cannot read the answer, but can keep it coming.
    """
    site, mode = (request.getHeader(b"sec-fetch-%b" % each) for each in (b"site", b"mode"))
    return site in (b"cross-site", b"same-site") and mode != b"navigate"


def _own_address(request: Request) -> str | None:
    """The address at which the client reached the server; None for a UNIX socket, for example."""
    host: Any = getattr(request.getHost(), "host", None)
    # An IPv6 address may have a zone, which browsers do not send.
    return None if host is None else _plain(host.partition("%")[0])


def _plain(name: str) -> str:
    """The name in lower case without a dot at its end; an address as Python writes it."""
    address = _address(name)
    return name.lower().removesuffix(".") if address is None else address


def _address(name: str) -> str | None:
    try:
        address = ip_address(name)
    except ValueError:
        return None
    # A port of both kinds tells an IPv4 address so.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _is_loopback(name: str) -> bool:
    return _address(name) is not None and ip_address(name).is_loopback

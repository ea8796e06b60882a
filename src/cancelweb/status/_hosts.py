"""Refuses requests that the web pages of other sites have a browser send to the status page.

A page can point its own name at 127.0.0.1 (DNS rebinding). The browser then lets it read whatever
is served there. Such a request has the page's name as its host. An IP address cannot be rebound.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from attrs import frozen
from twisted.web.server import Request

from ._text import shown


@frozen
class Hosts:
    """The names by which the page may be opened, in lower case, besides IP addresses."""

    names: frozenset[str]

    @classmethod
    def checked(cls, hosts: Collection[str]) -> Hosts:
        """The names that the owner gives, and localhost.

        Raises:
            TypeError: ``hosts`` is not a collection of str.
            ValueError: one of them is not a name alone.
        """
        is_collection = isinstance(hosts, Collection) and not isinstance(hosts, str)
        if not is_collection or not all(isinstance(each, str) for each in hosts):
            raise TypeError(
                f"hosts must be a collection of names such as ['status.example'], not {hosts!r}"
            )
        for each in hosts:
            if re.search(r"[:/\s]", each):
                raise ValueError(
                    f"hosts must be names without a scheme or a port, not {each!r}; write "
                    "'status.example', for example"
                )
        return cls(frozenset(["localhost", *(_plain(each) for each in hosts)]))

    def refusal(self, request: Request) -> str | None:
        """Why a request is refused, or None if it is not."""
        # Browsers always send a Host.
        host, origin = request.getHeader(b"host"), request.getHeader(b"origin")
        name = None if host is None else _name_in(b"//" + host)
        if name is not None and name not in self.names and not _is_address(name):
            return (
                f"The status page cannot be opened as {shown(name)}. Open it by an IP address or "
                "as localhost, or allow this name with hosts=... or --status-host.\n"
            )
        if origin is not None and _name_in(origin) not in {name, *self.names}:
            return f"Pages of {shown(origin)} cannot use the status page.\n"
        return None


def _name_in(url: bytes) -> str:
    """The name or the address in a URL, without the port; empty if there is none."""
    try:
        return _plain(urlsplit(url.decode("latin-1")).hostname or "")
    except ValueError:
        return ""


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

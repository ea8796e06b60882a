"""Where the upstream is: its scheme, host and port, and the prefix of its paths."""

from __future__ import annotations

import re

from attrs import frozen
from twisted.internet.abstract import isIPv6Address

_NAME = re.compile(r"[A-Za-z0-9_.~-]+")
_PATH = re.compile(rb"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*")
_DOTS = re.compile(rb"/\.\.?(?:/|$)")


@frozen
class Address:
    """The address of an upstream.

    Attributes:
        host: its name or address.
        port: its port.
        tls: whether it speaks HTTPS.
    """

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> bytes:
        """The host and the port, as the header ``Host`` has them: without the default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == (443 if self.tls else 80) else f":{self.port}"
        return f"{host}{port}".encode("ascii")

    @property
    def origin(self) -> bytes:
        """What the URL of every request begins with."""
        return (b"https://" if self.tls else b"http://") + self.authority


def check_address(host: object, port: object, path: object) -> None:
    """Raise a TypeError or ValueError unless these are what an upstream has."""
    if not isinstance(host, str):
        raise TypeError(f"host must be a str such as '127.0.0.1', not {host!r}")
    if not _NAME.fullmatch(host) and not isIPv6Address(host):
        raise ValueError(
            f"host must be a name in ASCII or an address, without scheme, port and brackets, not "
            f"{host!r}"
        )
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port must be an int such as 8000, not {port!r}")
    if not 0 < port < 2**16:
        raise ValueError(f"port must be from 1 to 65535, not {port!r}")
    if not isinstance(path, bytes):
        raise TypeError(f"path must be bytes such as b'' or b'/prefix', not {path!r}")
    if not _PATH.fullmatch(path) or _DOTS.search(path):
        raise ValueError(
            "path must be b'' or a quoted path such as b'/prefix', with a slash at the beginning "
            f"and none at the end, not {path!r}"
        )

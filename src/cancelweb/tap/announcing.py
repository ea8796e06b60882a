"""Logs the URLs at which a server can be opened in a browser, when its ports listen.

A port that was given as 0 is told as the port that the system has chosen.
"""

from __future__ import annotations

from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer

from .._log import log

ANY_INTERFACE = {"0.0.0.0": "localhost", "::": "localhost"}
"""The hosts of ports that listen on all interfaces, and the host to open instead."""


@implementer(IStreamServerEndpoint)
@frozen(eq=False)
class Announced:
    """An endpoint whose address is logged as soon as it listens.

    Attributes:
        endpoint: the endpoint.
        text: what the log says, with ``{url}`` for the address.
    """

    endpoint: IStreamServerEndpoint
    text: str

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See `IStreamServerEndpoint`."""
        return self.endpoint.listen(factory).addCallback(self._announce)

    def _announce(self, port: IListeningPort) -> IListeningPort:
        log.info(self.text, url=self._url_of(port.getHost()))
        return port

    def _url_of(self, address: object) -> str:
        if not isinstance(address, IPv4Address | IPv6Address):
            # A UNIX socket, for example, has no URL.
            return f"unix:{address.name!s}" if isinstance(address, UNIXAddress) else str(address)
        scheme = "https" if isinstance(self.endpoint, SSL4ServerEndpoint) else "http"
        host = ANY_INTERFACE.get(address.host, address.host)
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{address.port}/"

"""Logs the URLs at which a server can be opened in a browser, when its ports listen.

For port 0, the log has the port that the system chose. An error names the option of the port.
"""

from __future__ import annotations

from collections.abc import Callable
from os import fsdecode
from typing import Any

from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from .._log import log

ANY_INTERFACE = {"0.0.0.0": "localhost", "::": "localhost"}
"""The hosts of ports that listen on all interfaces, and the host to open instead."""


@implementer(IStreamServerEndpoint)
@frozen(eq=False)
class Announced:
    """An endpoint whose address is logged as soon as it listens, and whose errors are clear.

    Attributes:
        endpoint: the endpoint.
        text: what the log says, with ``{url}`` for the address.
        option: the option with its value, as the user may write it.
        check: receives the port before its address is logged, and returns it. An OSError that it
            raises is explained as those of the endpoint are.
    """

    endpoint: IStreamServerEndpoint
    text: str
    option: str
    check: Callable[[IListeningPort], IListeningPort] = lambda port: port

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See `IStreamServerEndpoint`."""
        listening = self.endpoint.listen(factory).addCallback(self.check)
        return listening.addCallbacks(self._announce, self._explain)

    def _announce(self, port: IListeningPort) -> IListeningPort:
        scheme = "https" if isinstance(self.endpoint, SSL4ServerEndpoint) else "http"
        log.info(self.text, url=url_of(port.getHost(), scheme))
        return port

    def _explain(self, failure: Failure) -> Failure:
        failure.trap(CannotListenError, OSError, OverflowError)
        error: Any = failure.value
        if getattr(error, "filename", None) is not None and error.filename2 is None:
            # The access log is opened, too. The lock of a UNIX socket is a link, with two names.
            return failure
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"{self.option}: {reason}") from error


def url_of(address: object, scheme: str) -> str:
    """The URL at which a listening port can be opened; of an address without one, its name."""
    if isinstance(address, IPv4Address | IPv6Address):
        host = ANY_INTERFACE.get(address.host, address.host)
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{address.port}/"
    if isinstance(address, UNIXAddress):
        return f"unix:{fsdecode(address.name or '')}"
    return str(address)

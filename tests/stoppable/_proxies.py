"""A reverse proxy between a client and an upstream that the test plays, over real sockets.

What belongs here: what tests of more than one module need. What does not: tests.
"""

from typing import Any

from cancelweb import CancellingResource
from cancelweb.proxy import ReverseProxyResource

from .._servers import LOOPBACK
from ._upstreams import Asker, GatewayTestCase

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

PLENTY = 2**25
"""More than all buffers on the way hold."""


class ProxyTestCase(GatewayTestCase):
    """A test with a proxy in front of the upstream."""

    def proxy(self, port: int | None = None, observed: bool = True, **options: Any) -> Any:
        """The proxy, which relays everything below its root; its outcomes are noted."""
        options.setdefault("path", b"")
        proxy: Any = ReverseProxyResource(LOOPBACK, port or self.port, **options)
        return CancellingResource(proxy, observers=self._tell if observed else ())

    def _tell(self, outcome: Any) -> None:
        self.outcome.callback(outcome)

    async def ask(self, *lines: bytes, proxy: Any = None, **kw: Any) -> tuple[Asker, Any]:
        """Ask the proxy; returns the client, and the exchange with the upstream."""
        self.server = self.serve(self.proxy() if proxy is None else proxy)
        connection = await self.server.connect(Asker(*(lines or [b"GET / HTTP/1.1"]), **kw))
        connection.closed.addErrback(lambda _: None)
        exchange = await self.upstream.exchange()
        if self.upstream.reads:
            await exchange.asked()
        return connection, exchange

    async def answered(self, said: bytes, *lines: bytes, **kw: Any) -> tuple[bytes, list[bytes]]:
        """What the client gets when the upstream says this: the body, and the lines before it."""
        lines = lines or (b"GET / HTTP/1.1",)
        connection, exchange = await self.ask(*lines, b"Connection: close", **kw)
        exchange.say(said)
        exchange.close()
        head, _, body = (await connection.closed).partition(b"\r\n\r\n")
        return body, head.split(b"\r\n")

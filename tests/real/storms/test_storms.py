"""Small storms of clients that leave, over real sockets; `nox -s hammer` runs the full ones."""

from .._leavers import Multiplexer
from ._storms import FloodTestCase, StormTestCase


class TCPTests(StormTestCase):
    """Small storms of HTTP/1.1 in the clear."""

    async def test_nothing_is_left(self) -> None:
        """A storm of requests over TCP is stopped, and nothing of it is alive."""
        self.serve_waiting()
        await self.storm(1000)


class TLSTests(StormTestCase):
    """Small storms of HTTP/1.1 over TLS."""

    is_secure = True

    async def test_nothing_is_left(self) -> None:
        """A storm of requests over TLS is stopped, and nothing of it is alive."""
        self.serve_waiting()
        await self.storm(200)


class HTTP2Tests(StormTestCase):
    """Small storms of HTTP/2."""

    is_secure = True
    client_class = Multiplexer

    async def test_nothing_is_left(self) -> None:
        """A storm of requests over HTTP/2 is stopped, and nothing of it is alive."""
        self.serve_waiting()
        await self.storm(200)


class FloodTests(FloodTestCase):
    """A client that opens and resets streams as fast as it can (CVE-2023-44487)."""

    async def test_bounded(self) -> None:
        """A flood of resets has its cleanup bounded, leaves nothing, and others are answered."""
        self.serve_slow_cleanup(max_abandoned=20)
        self.assertLessEqual(await self.flood(500), 20 + 100)

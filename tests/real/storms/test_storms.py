"""Small storms of clients that leave, over real sockets; `nox -s hammer` runs the full ones."""

from .._leavers import Multiplexer
from ._storms import FloodTestCase, StormTestCase


class TCPTests(StormTestCase):
    """HTTP/1.1 in the clear."""

    async def test_nothing_is_left(self) -> None:
        """Every request is stopped, and nothing of the storm is alive."""
        self.serve_waiting()
        await self.storm(1000)


class TLSTests(StormTestCase):
    """HTTP/1.1 over TLS."""

    is_secure = True

    async def test_nothing_is_left(self) -> None:
        """Every request is stopped, and nothing of the storm is alive."""
        self.serve_waiting()
        await self.storm(200)


class HTTP2Tests(StormTestCase):
    """HTTP/2."""

    is_secure = True
    client_class = Multiplexer

    async def test_nothing_is_left(self) -> None:
        """Every request is stopped, and nothing of the storm is alive."""
        self.serve_waiting()
        await self.storm(200)


class FloodTests(FloodTestCase):
    """A client that opens and resets streams as fast as it can (CVE-2023-44487)."""

    async def test_bounded(self) -> None:
        """Its clean-up is bounded, another client is answered meanwhile, and nothing is left."""
        self.serve_slow_cleanup(max_cleanups=20)
        self.assertLessEqual(await self.flood(500), 20 + 100)

"""The tutorial's example, on real servers, with real clients that wait or leave.

Tests with a browser are in `real.browsers.test_interrupted`.
"""

from pathlib import Path

from ..._http2 import HTTP2Client
from ..._servers import TWIST, TWISTD, SelfSigned, serve
from .._interrupted import ANSWERED, PAGE, PATH, InterruptedTestCase


class HTTP1Tests(InterruptedTestCase):
    """Clients of HTTP/1.1, in the clear and over TLS."""

    async def test_leaving_cancels_under_twist(self) -> None:
        """`twist web` cancels the call of a client that leaves, and not of a client that waits."""
        server = await serve(self, TWIST)
        await self.leave_early(server)
        await self.assert_nothing_else(server)

    async def test_leaving_cancels_under_twistd(self) -> None:
        """`twistd web` cancels the call of a client that leaves, and not of a client that waits."""
        server = await serve(self, TWISTD)
        await self.leave_early(server)
        await self.assert_nothing_else(server)

    async def test_leaving_cancels_over_tls(self) -> None:
        """Over TLS, the call of a client that leaves is cancelled, not of a client that waits."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        server = await serve(self, TWIST, certificate)
        await self.leave_early(server)
        await self.assert_nothing_else(server)


class HTTP2Tests(InterruptedTestCase):
    """Clients of HTTP/2, over TLS."""

    async def test_reset_cancels_and_sibling_completes(self) -> None:
        """A stream that is reset has its call cancelled, and its sibling is answered."""
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        server = await serve(self, TWIST, certificate)
        connection = await server.connect(HTTP2Client(), b"h2")
        self.addCleanup(connection.close)
        leaver, waiter = connection.get(PATH), connection.get(PATH)
        await connection.ping()
        connection.reset(leaver)
        await self.assert_cancelled(server)
        await waiter.until(lambda stream: stream.ended)
        self.assertEqual(waiter.headers[b":status"], b"200")
        self.assertIn(PAGE.encode(), waiter.body)
        await server.log.expect(ANSWERED)
        self.assert_told(server, abandoned=1, answered=1)

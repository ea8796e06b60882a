"""A reverse proxy whose upstream speaks HTTPS, over real sockets.

What belongs here: certificates, and the default port. What does not: what is relayed.
"""

from pathlib import Path
from shutil import copy
from typing import Any

from twisted.internet.ssl import (
    Certificate,
    DefaultOpenSSLContextFactory,
    trustRootFromCertificates,
)
from twisted.logger import LogLevel, formatEvent
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.server import Site
from twisted.web.static import Data

from cancelweb.proxy import ReverseProxyResource

from .._docs import OWN_AUTHORITY, run
from .._logs import log_events, of_cancelweb
from .._servers import LOOPBACK, SelfSigned
from ._proxies import ProxyTestCase
from ._upstreams import Asker, reactor
from ._wires import WireTestCase


class TLSTests(ProxyTestCase):
    """An upstream with a certificate that no authority has signed."""

    def setUp(self) -> None:
        super().setUp()
        self.certificate = SelfSigned.make(Path(self.mktemp()))
        context = DefaultOpenSSLContextFactory(
            str(self.certificate.private_key), str(self.certificate.certificate)
        )
        root = Data(b"secret", "text/plain")
        root.putChild(b"a", root)
        listening = reactor.listenSSL(0, Site(root), context, interface=LOOPBACK)
        self.addCleanup(listening.stopListening)
        self.secure_port: int = listening.getHost().port

    async def answer(self, **options: Any) -> bytes:
        """What a client of the proxy gets."""
        proxy = self.proxy(self.secure_port, observed=False, **options)
        server = self.serve(proxy)
        connection = await server.connect(Asker(b"GET /a HTTP/1.1", b"Connection: close"))
        answer: bytes = await connection.closed
        return answer

    def trusting(self, **options: Any) -> Any:
        """An agent that trusts the certificate."""
        pem = self.certificate.certificate.read_bytes()
        policy = BrowserLikePolicyForHTTPS(trustRootFromCertificates([Certificate.loadPEM(pem)]))
        return Agent(reactor, policy, **options)

    async def test_is_verified(self) -> None:
        """By default, a certificate that cannot be verified gives a 502, and one warning."""
        events = log_events(self)
        answer = await self.answer(tls=True)
        self.assertTrue(answer.startswith(b"HTTP/1.1 502 "), answer)
        (told,) = of_cancelweb(events, LogLevel.warn)
        self.assertIn("certificate verify failed", formatEvent(told))
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_is_trusted(self) -> None:
        """An agent with its own trust root reaches the upstream."""
        answer = await self.answer(tls=True, agent=self.trusting())
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
        self.assertTrue(answer.endswith(b"secret"), answer)

    async def test_own_authority(self) -> None:
        """The agent of the how-to trusts the certificate in a file, and no other."""
        directory = Path(self.mktemp())
        directory.mkdir()
        copy(self.certificate.certificate, directory / "ca.pem")
        source = OWN_AUTHORITY.read_text().replace('"ca.pem"', repr(str(directory / "ca.pem")))
        agent = run(source)["agent"]
        answer = await self.answer(tls=True, agent=agent)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)

    async def test_is_for_another_host(self) -> None:
        """A certificate for another host gives a 502, even if it is trusted."""
        proxy: Any = ReverseProxyResource(
            "localhost", self.secure_port, b"", agent=self.trusting(), tls=True
        )
        connection = await self.serve(proxy).connect(
            Asker(b"GET /a HTTP/1.1", b"Connection: close")
        )
        answer = await connection.closed
        self.assertTrue(answer.startswith(b"HTTP/1.1 502 "), answer)

    async def test_pool(self) -> None:
        """Connections over TLS are used again if the agent has a pool."""
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        agent = self.trusting(pool=pool)
        for _ in range(3):
            self.assertTrue((await self.answer(tls=True, agent=agent)).endswith(b"secret"))
        self.assertEqual(len(next(iter(pool._connections.values()))), 1)

    async def test_without_the_option(self) -> None:
        """Without the option the upstream is asked in plain text, and an HTTPS server hangs up."""
        answer = await self.answer()
        self.assertTrue(answer.startswith(b"HTTP/1.1 502 "), answer)


class PortTests(WireTestCase):
    """The port in the Host and in the URL."""

    def test_default_port(self) -> None:
        """The default port of the scheme is not named."""
        for port, tls, host in [
            (443, True, b"up.example"),
            (80, True, b"up.example:80"),
            (80, False, b"up.example"),
            (443, False, b"up.example:443"),
        ]:
            headers = self.asked_with(b"/a", root=self.proxy(port=port, tls=tls))
            self.assertEqual(headers[b"host"], host)
            scheme = b"https://" if tls else b"http://"
            self.assertEqual(self.wire.urls[-1], scheme + host + b"/a")

"""What servers in front of Twisted tell it: each row of the table in the docs, on the real thing.

What belongs here: nginx, HAProxy and Envoy as the docs show them, before a handler that waits. What
does not: what Envoy does besides, which has `test_envoy`; more than one hop: `test_chain`.
"""

import re
import socket
from collections.abc import Callable
from typing import Any, ClassVar

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from ..._docs import DOCS
from ..._loopback import reserve_port
from ..._servers import LOOPBACK
from ._behind import FrontTestCase
from ._fronts import (
    Front,
    envoy,
    envoy_filter,
    envoy_tcp,
    haproxy,
    haproxy_listen,
    nginx,
    nothing,
)
from ._hops import gateways

AT_ONCE, NEVER = "at once", "never"
"""When Twisted is told."""

ABORT = "option abortonclose"
CACHE = "proxy_cache pages; proxy_cache_valid 200 1m;"
BYPASS = f"{CACHE} proxy_no_cache 1; proxy_cache_bypass 1;"
BUFFER = envoy_filter("buffer.v3.Buffer", "max_request_bytes: 1048576")
STORE = envoy_filter(
    "cache.v3.CacheConfig",
    'typed_config: {"@type": type.googleapis.com/envoy.extensions.http.cache.simple_http_cache.v3.'
    "SimpleHttpCacheConfig}",
)
RETRY = 'retry_policy: {retry_on: "5xx", num_retries: 3}'


@frozen
class Row:
    """A row of the table.

    Attributes:
        between: what is between the client and Twisted, as the table says it.
        front: how to start it.
        leaves: when Twisted is told that a client which waits for a GET has closed.
        half_closes: when it is told that such a client has only stopped to send.
        answers: whether such a client gets its answer.
    """

    between: str
    front: Front
    leaves: str
    half_closes: str
    answers: bool = False


ROWS = [
    Row("nothing", nothing, AT_ONCE, AT_ONCE),
    Row("nginx, defaults", nginx(), AT_ONCE, AT_ONCE),
    Row(
        "nginx, ``proxy_ignore_client_abort on``",
        nginx("proxy_ignore_client_abort on;"),
        NEVER,
        NEVER,
        answers=True,
    ),
    Row("nginx, ``proxy_cache``", nginx(CACHE), NEVER, NEVER),
    Row("HAProxy, http mode, defaults", haproxy(), NEVER, NEVER, answers=True),
    Row(
        "HAProxy, ``option abortonclose`` in ``backend`` only",
        haproxy(backend=ABORT),
        NEVER,
        NEVER,
        answers=True,
    ),
    Row(
        "HAProxy, ``option abortonclose`` in ``defaults``",
        haproxy("mode http\n  option abortonclose"),
        AT_ONCE,
        AT_ONCE,
    ),
    Row("HAProxy, ``option abortonclose`` in ``listen``", haproxy_listen(), AT_ONCE, AT_ONCE),
    Row("HAProxy, tcp mode", haproxy("mode tcp"), AT_ONCE, AT_ONCE),
    Row("Envoy, defaults", envoy(), AT_ONCE, AT_ONCE),
    Row("Envoy, buffer filter", envoy(filter=BUFFER), AT_ONCE, AT_ONCE),
    Row("Envoy, cache filter", envoy(filter=STORE), AT_ONCE, AT_ONCE),
    Row("Envoy, ``retry_policy``", envoy(RETRY), AT_ONCE, AT_ONCE),
    Row("Envoy, TCP proxy", envoy_tcp(), AT_ONCE, AT_ONCE),
    Row("two gateways with ``ReverseProxyResource``", gateways, AT_ONCE, AT_ONCE),
]


class TableTests(FrontTestCase):
    """A row of the table."""

    row: ClassVar[Row]

    async def leave(self, when: str, action: Callable[[Any], None]) -> Any:
        """Have a client that waits do something, check what Twisted is told, return the client."""
        server, connection = await self.start(self.row.front)
        action(connection)
        if when == AT_ONCE:
            await self.assert_told()
        else:
            await self.assert_never(server)
        return connection

    async def test_closes(self) -> None:
        """A client that closes its connection is reported to Twisted when the row says."""
        await self.leave(self.row.leaves, lambda connection: connection.leave())

    async def test_resets(self) -> None:
        """A client that resets its connection is reported to Twisted when the row says."""
        await self.leave(self.row.leaves, lambda connection: connection.transport.abortConnection())

    async def test_half_closes(self) -> None:
        """A client that only stops sending is reported, and answered, as the row says."""
        connection = await self.leave(
            self.row.half_closes, lambda connection: connection.transport.loseWriteConnection()
        )
        self.assertEqual((await connection.closed).endswith(b"the page"), self.row.answers)


for _row in ROWS:
    _name = "".join(re.findall(r"\w+", _row.between.title())) + "Tests"
    globals()[_name] = type(_name, (TableTests,), {"row": _row, "__doc__": _row.between})
del TableTests


class FurtherTests(FrontTestCase):
    """What the docs say besides the table."""

    async def test_nginx_cache_that_is_bypassed(self) -> None:
        """A cache of nginx hides a client that leaves even if it stores nothing."""
        server, connection = await self.start(nginx(BYPASS))
        connection.leave()
        await self.assert_never(server)

    async def test_haproxy_backend_small_post(self) -> None:
        """With `abortonclose` only in `backend`, HAProxy does not report a small POST."""
        server, connection = await self.start(haproxy(backend=ABORT), b"POST", b"a form")
        connection.leave()
        await self.assert_never(server)

    async def test_haproxy_backend_large_post(self) -> None:
        """With `abortonclose` only in `backend`, HAProxy reports a POST with a large body."""
        _, connection = await self.start(haproxy(backend=ABORT), b"POST", bytes(2**17))
        connection.leave()
        await self.assert_told()

    async def test_haproxy_in_mid_stream(self) -> None:
        """With its defaults, HAProxy reports a client that left only when the handler writes."""
        server, connection = await self.start(haproxy())
        request = await self.asked
        request.write(b"the first part")
        await self.until(lambda: connection.has(b"the first part"))
        connection.leave()
        await self.look(server)
        self.assertFalse(self.outcome.called)
        while not self.outcome.called:
            request.write(b"the next")
            await self.look(server)
        await self.assert_told()


class ReservedPortTests(SynchronousTestCase):
    """The port that is reserved for a server in front."""

    def test_is_kept(self) -> None:
        """A reserved port goes to no other socket, but a server may listen on it."""
        port = reserve_port(self)
        with socket.socket() as other:
            self.assertRaises(OSError, other.bind, (LOOPBACK, port))
        with socket.create_server((LOOPBACK, port)) as server:
            self.assertEqual(server.getsockname()[1], port)


class DocsTests(SynchronousTestCase):
    """The table in the docs."""

    def rows(self, page: str) -> dict[str, str]:
        """The rows of the page's table: what is in between, and when Twisted is told."""
        text = (DOCS / page).read_text()
        return dict(re.findall(r"^ +\* - (.+)\n +- (.+)$", text, re.M))

    def test_how_to(self) -> None:
        """The how-to has exactly the rows that are tested here."""
        rows = self.rows("howto/behind-a-proxy.rst")
        expected = {row.between: row.leaves for row in ROWS}
        self.assertEqual({**expected, "between client and Twisted": "Twisted is told"}, rows)

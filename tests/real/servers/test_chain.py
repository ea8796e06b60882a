"""The whole chain: client, nginx, HAProxy or Envoy, gateways, backend, PostgreSQL; all real.

The client leaves, and the query at the far end is gone. What belongs here: chains. What does not:
the hops, each by itself.
"""

from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import Request

from cancelweb import CancellingResource, Ended, Outcome, cancel_on_disconnect
from cancelweb.database import ConnectionPool
from cancelweb.proxy import ReverseProxyResource

from ..._pages import Page
from ..._servers import LOOPBACK, Server
from ...stoppable._upstreams import Asker, GatewayTestCase
from .._postgres import postgres
from ._fronts import Front, envoy, haproxy, nginx, nothing
from ._hops import HEADER, STATEMENT, gateway, report

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

SLOW = "SELECT pg_sleep(600)"


class ChainTests(GatewayTestCase):
    """A client at one end of a chain, and a query at the other."""

    timeout = 120

    def setUp(self) -> None:
        super().setUp()
        self.database = postgres()
        self.name = f"chain-{id(self)}"
        self.outcomes: dict[str, Deferred[Outcome]] = {}

    def observer(self, name: str) -> Any:
        """An observer that notes the outcome of one hop."""
        told: Deferred[Outcome] = Deferred()
        self.outcomes[name] = told
        return told.callback

    async def chain(self, front: Front, statement: str) -> Server:
        """Build a chain from its far end on, and return its near end."""
        pool = ConnectionPool(
            "psycopg", self.database.dsn_of(self.name), cp_max=1, cp_reactor=reactor
        )
        self.addCleanup(pool.close)

        async def handler(request: Request) -> bytes:
            return str(await pool.runQuery(statement)).encode()

        decorate: Any = cancel_on_disconnect(observers=self.observer("backend"))
        backend = self.serve(Page(decorate(handler)))
        proxy: Any = ReverseProxyResource(LOOPBACK, backend.port, b"")
        root: Any = CancellingResource(proxy, observers=self.observer("gateway"))
        server: Server = await front(self, self.serve(root).port)
        return server

    async def ask(self, server: Server) -> Asker:
        """Connect a client that asks at the near end."""
        lines = (b"GET /report HTTP/1.1", b"Host: localhost", b"Connection: close")
        return await server.connect(Asker(*lines))

    async def assert_gone(self, front: Front) -> None:
        """When the client leaves, every hop is stopped, and the query at the far end is gone."""
        connection = await self.ask(await self.chain(front, SLOW))
        [session] = await self.database.running(self.name)
        self.assertEqual(session.query, SLOW)
        connection.leave()
        for told in self.outcomes.values():
            self.assertEqual((await told).ended, Ended.STOPPED)
        # Not even a transaction is open.
        self.assertEqual(self.database.states(self.name), ["idle"])
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_gateway_alone(self) -> None:
        """With the gateway alone, a client that leaves stops the query at the far end."""
        await self.assert_gone(nothing)

    async def test_nginx(self) -> None:
        """Behind nginx with its defaults, a client that leaves stops the query at the far end."""
        await self.assert_gone(nginx())

    async def test_haproxy(self) -> None:
        """Behind HAProxy with `abortonclose`, a client that leaves stops the far query."""
        await self.assert_gone(haproxy("mode http\n  option abortonclose"))

    async def test_envoy(self) -> None:
        """Behind Envoy with its defaults, a client that leaves stops the query at the far end."""
        await self.assert_gone(envoy())

    async def test_patient_client(self) -> None:
        """A client that stays gets the answer of the query."""
        connection = await self.ask(await self.chain(nginx(), "SELECT 6 * 7"))
        self.assertTrue((await connection.closed).endswith(b"[(42,)]"))
        for told in self.outcomes.values():
            self.assertEqual((await told).ended, Ended.COMPLETED)


class ThreeServersTests(TestCase):
    """Three servers in processes of their own: two gateways, and one that asks PostgreSQL."""

    timeout = 120

    async def ask(self, seconds: float) -> Asker:
        """Connect a client that will wait so many seconds; returns when the far query runs."""
        self.database, self.name = postgres(), f"hops-{id(self)}"
        far = await report(self, self.database.dsn_of(self.name))
        middle = await gateway(self, far.port)
        near = await gateway(self, middle.port)
        self.logs = [each.log for each in (near, middle, far)]
        limit = f"{HEADER}: {seconds}".encode()
        lines = (b"GET /report HTTP/1.1", b"Host: localhost", b"Connection: close", limit)
        connection = await near.connect(Asker(*lines))
        [session] = await self.database.running(self.name)
        self.assertEqual(session.query, STATEMENT)
        return connection

    async def until_idle(self) -> float:
        """Wait until the far query is gone, with its transaction; returns the seconds."""
        begin = reactor.seconds()
        while self.database.states(self.name) != ["idle"]:
            await deferLater(reactor, 0.001)
        seconds: float = reactor.seconds() - begin
        return seconds

    async def given(self) -> list[float]:
        """The seconds that each server was given, the first server first."""
        lines = [await log.expect("given [0-9.]+ s: ") for log in self.logs]
        return [float(line.partition("given ")[2].partition(" ")[0]) for line in lines]

    async def test_client_leaves(self) -> None:
        """A client that leaves the first server ends the query behind the third at once."""
        connection = await self.ask(300)
        connection.leave()
        # It takes some 15 ms, or 50 on a busy machine.
        self.assertLess(await self.until_idle(), 5)
        for log in self.logs:
            await log.expect("GET /report: stopped after .*: the client disconnected")

    async def test_each_has_less_time(self) -> None:
        """Each server is given less time than the one before, and none more than the client has."""
        connection = await self.ask(20)
        connection.leave()
        first, second, third = await self.given()
        self.assertEqual(first, 20)
        self.assertLess(second, first)
        self.assertLess(third, second)
        self.assertGreater(third, 0)

    async def test_own_limit_of_a_server(self) -> None:
        """A server passes on its own limit if the client would wait for longer."""
        connection = await self.ask(300)
        connection.leave()
        first, second, third = await self.given()
        self.assertEqual(first, 300)
        # The gateway of the examples has thirty seconds.
        self.assertLess(second, 30)
        self.assertLess(third, second)

    async def test_time_is_up(self) -> None:
        """When the client's time is up, it is answered 504, and the far query is gone."""
        # On a busy machine, it takes a second or two until the far query runs.
        connection = await self.ask(6)
        self.assertTrue((await connection.closed).startswith(b"HTTP/1.1 504 "))
        self.assertLess(await self.until_idle(), 5)

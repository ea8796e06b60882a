"""The time that is left, which agents and the proxy pass on to other servers.

What belongs here: their option `timeout_header`. What the header does is for
`scopes.test_limits_header`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from twisted.web.server import Request
from zope.interface import implementer

from cancelweb import (
    CancellingResource,
    Draining,
    cancel_on_disconnect,
    cleaning,
    current_scope,
    shield,
)
from cancelweb.proxy import ReverseProxyResource
from cancelweb.upstream import CancellingAgent

from .._visits import VisitTestCase
from ._proxies import ProxyTestCase

HEADER = "X-Request-Timeout"
NAME = HEADER.encode()


@implementer(IAgent)
class Recorder:
    """An agent that notes the headers of each request, and answers none."""

    def __init__(self) -> None:
        self.told: list[Headers | None] = []

    def request(self, method: bytes, uri: bytes, headers: Any = None, body: Any = None) -> Any:
        """See `IAgent`."""
        self.told.append(headers)
        return Deferred()


class PassedOnTests(VisitTestCase):
    """Promise 14: `remaining` is what goes upstream."""

    def setUp(self) -> None:
        super().setUp()
        self.recorder = Recorder()

    def ask(self, headers: Headers | None = None, agent: Any = None, **options: Any) -> Any:
        """The header that the upstream gets of a handler after a second, or None."""
        agent = agent or CancellingAgent(self.recorder)

        async def handler(_: Request) -> bytes:
            await deferLater(self.clock, 1)
            await agent.request(b"GET", b"http://x/", headers)
            return b""

        connection = self.serve(handler, **options)
        connection.get()
        self.clock.advance(1)
        connection.disconnect()
        told = self.recorder.told.pop()
        return None if told is None else told.getRawHeaders(HEADER)

    def test_header_of_the_scope(self) -> None:
        """The time left is sent in the header that the entry point reads."""
        for timeout, total in ((5, None), (None, 5), (9, 5)):
            told = self.ask(timeout_header=HEADER, timeout=timeout, total_timeout=total)
            self.assertEqual(told, ["4.000"])

    def test_is_rounded_down(self) -> None:
        """The header never says more than the time that is left, not even by a rounding."""
        for timeout, told in ((2.9999, "1.999"), (2.0006, "1.000"), (1.0004, "0.001")):
            self.assertEqual(self.ask(timeout_header=HEADER, timeout=timeout), [told])

    def test_header_of_the_agent(self) -> None:
        """The time left is sent in the header that the agent was given."""
        agent = CancellingAgent(self.recorder, HEADER)
        self.assertEqual(self.ask(agent=agent, timeout=5), ["4.000"])
        self.assertEqual(self.ask(agent=agent, timeout=5, timeout_header="X"), ["4.000"])

    def test_none(self) -> None:
        """The time left is not sent by an agent with None, without a name, or without a limit."""
        agent = CancellingAgent(self.recorder, None)
        self.assertIsNone(self.ask(agent=agent, timeout=5, timeout_header=HEADER))
        self.assertIsNone(self.ask(timeout=5))
        self.assertIsNone(self.ask(timeout_header=HEADER))

    def test_never_zero(self) -> None:
        """The time left is never sent as 0, which may mean that there is no limit."""
        self.assertEqual(self.ask(timeout=1.0001, timeout_header=HEADER), ["0.001"])

    def test_other_headers(self) -> None:
        """The caller's own headers are left as they were."""
        headers = Headers({"A": ["1"]})
        self.assertEqual(self.ask(headers, timeout=5, timeout_header=HEADER), ["4.000"])
        self.assertFalse(headers.hasHeader(HEADER))

    def test_own_value(self) -> None:
        """A value that the caller has set for the header is kept."""
        headers = Headers({HEADER: ["1"]})
        self.assertEqual(self.ask(headers, timeout=5, timeout_header=HEADER), ["1"])

    def test_where_no_limit_holds(self) -> None:
        """A request that is made in shielded work or in a cleanup passes on no limit."""
        agent = CancellingAgent(self.recorder, HEADER)

        async def shielded(_: Request) -> object:
            return await shield(agent.request(b"GET", b"http://x/"))

        async def ask() -> object:
            return await agent.request(b"GET", b"http://x/")

        async def within(_: Request) -> object:
            return await shield(ask())

        def after(_: Request) -> object:
            current_scope().cancel(Draining())
            with cleaning():
                return agent.request(b"GET", b"http://x/")

        for handler in (within, after):
            self.serve(handler, timeout=5).get()
            self.assertEqual(self.recorder.told.pop(), None)
        # That which it awaits was begun before, in the handler.
        self.serve(shielded, timeout=5).get()
        self.assertIsNotNone(self.recorder.told.pop())

    def test_outside(self) -> None:
        """Without a scope, an agent sends no time left."""
        CancellingAgent(self.recorder, HEADER).request(b"GET", b"http://x/")
        self.assertEqual(self.recorder.told, [None])

    def test_wrong_name(self) -> None:
        """A `timeout_header` that cannot be the name of a header is an error at once."""
        wrong: Any
        for wrong, error in ((b"X", TypeError), ("X Y", ValueError), ("", ValueError)):
            for make in (
                lambda name: CancellingAgent(self.recorder, name),
                lambda name: ReverseProxyResource("x", 80, b"", timeout_header=name),
                lambda name: cancel_on_disconnect(timeout_header=name),
            ):
                with self.assertRaisesRegex(error, "^timeout_header must be .*, not "):
                    make(wrong)


class ProxyTests(ProxyTestCase):
    """Promise 14: the reverse proxy passes on what is left, whatever its client has said."""

    async def relayed(self, *lines: bytes, header: Any = (), **options: Any) -> list[str]:
        """The values of the header that come to the upstream."""
        given = {} if header == () else {"timeout_header": header}
        proxy = CancellingResource(self.proxy(path=b"", **given), **options)
        connection, exchange = await self.ask(b"GET /a/b HTTP/1.1", *lines, proxy=proxy)
        connection.leave()
        exchange.close()
        await exchange.lost
        await self.outcome
        self.outcome = Deferred()
        head = bytes(exchange.received).decode().lower().split("\r\n")
        return [each.partition(": ")[2] for each in head if each.startswith(HEADER.lower())]

    def assert_left(self, values: list[str], most: float) -> None:
        """There is one value, and it is a little less than this."""
        (value,) = values
        self.assertTrue(most / 2 < float(value) <= most, value)

    async def test_overwrites(self) -> None:
        """The client's value is replaced by the time left, or dropped where no limit holds."""
        said = NAME + b": 3000"
        named = {"timeout_header": HEADER}
        self.assert_left(await self.relayed(said, timeout=60, **named), 60)
        self.assert_left(await self.relayed(said, **named), 3000)
        self.assert_left(await self.relayed(said, timeout=60, header=HEADER), 60)
        self.assertEqual(await self.relayed(said, header=HEADER), [])
        self.assertEqual(await self.relayed(NAME + b": soon", **named), [])

    async def test_like_any_other(self) -> None:
        """The header is relayed as it is if no option names it, or the proxy is given None."""
        said = NAME + b": soon"
        self.assertEqual(await self.relayed(said, timeout=60), ["soon"])
        options = {"timeout": 60, "timeout_header": HEADER}
        self.assertEqual(await self.relayed(said, header=None, **options), ["soon"])

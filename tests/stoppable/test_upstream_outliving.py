"""Requests to an upstream, made by work that goes on when the client of the handler has left.

What belongs here: what `detach`, `shield` and `Shared` start, also in one another. What does not:
what the handler itself asks for, which ends with its scope.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.client import readBody
from twisted.web.server import Request

from cancelweb import Ended, Shared, detach, shield
from cancelweb.upstream import stream_body

from ._asking import AskingTestCase, always
from ._upstreams import Exchange, reactor

FIRST = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst"


class OutlivingTests(AskingTestCase):
    """Bodies that are read by work that the scope does not stop."""

    def setUp(self) -> None:
        super().setUp()
        self.begun: Deferred[None] = Deferred()
        self.got: Deferred[bytes | None] = Deferred()

    async def fetch(self) -> bytes:
        """Ask, and read the body."""
        return await self.fetch_from(self.get())

    async def fetch_from(self, asked: Deferred[Any]) -> bytes:
        """Read the body of the response."""
        response = await asked
        reactor.callLater(0, self.begun.callback, None)
        reading = readBody(response)
        return await reading.addBoth(self.told)

    def told(self, result: Any) -> Any:
        """Note what has become of the body, and pass it on."""
        self.got.callback(None if isinstance(result, Failure) else result)
        return result

    async def begin(self) -> Exchange:
        """Have the upstream send the first half of the body."""
        exchange = await self.upstream.exchange()
        await exchange.asked()
        exchange.say(FIRST)
        await self.begun
        return exchange

    async def assert_goes_on(self, exchange: Exchange) -> None:
        """The second half of the body comes, and is read."""
        exchange.say(b" half")
        self.assertEqual(await self.got, b"first half")
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_detached(self) -> None:
        """A detached coroutine reads its body to the end after the response is finished."""

        async def handler(_: Request) -> bytes:
            detach(self.fetch())
            return b"done"

        connection = await self.visit(self.page(handler))
        exchange = await self.begin()
        self.assertTrue((await connection.closed).endswith(b"done"))
        self.assertEqual((await self.outcome).ended, Ended.COMPLETED)
        await self.assert_goes_on(exchange)

    async def test_detached_from_a_client_that_leaves(self) -> None:
        """A detached coroutine reads its body to the end after the client has left."""

        async def handler(_: Request) -> bytes:
            detach(self.fetch())
            return await Deferred()

        connection = await self.visit(self.page(handler))
        exchange = await self.begin()
        connection.leave()
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)
        await self.assert_goes_on(exchange)

    async def test_detached_request(self) -> None:
        """A request that began in the scope is dropped with it, even if it was detached."""
        asked: list[Deferred[Any]] = []

        async def handler(_: Request) -> bytes:
            asked.append(self.get())
            detach(asked[0])
            return await Deferred()

        connection = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.asked()
        connection.leave()
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)
        exchange.say(FIRST)
        await exchange.lost

    async def test_shielded(self) -> None:
        """A shielded coroutine reads its body to the end, and the scope waits for it."""
        connection = await self.visit(self.page(always(lambda: shield(self.fetch()))))
        exchange = await self.begin()
        connection.leave()
        await self.assert_goes_on(exchange)
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)

    async def test_returned_by_shielded_work(self) -> None:
        """A response that shielded work returns to the handler is dropped with the scope."""

        async def ask() -> Any:
            return await self.get()

        async def handler(_: Request) -> bytes:
            response = await shield(ask())
            reactor.callLater(0, self.begun.callback, None)
            return await readBody(response)

        connection = await self.visit(self.page(handler))
        await self.assert_dropped(await self.begin(), connection)

    async def test_shielded_twice(self) -> None:
        """A response that shielded work gets from other shielded work is read to its end."""

        async def ask() -> Any:
            return await self.get()

        async def outer() -> bytes:
            response = await shield(ask())
            reactor.callLater(0, self.begun.callback, None)
            return await readBody(response).addBoth(self.told)

        connection = await self.visit(self.page(always(lambda: shield(outer()))))
        exchange = await self.begin()
        connection.leave()
        await self.assert_goes_on(exchange)
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)

    async def test_shielded_for_no_request(self) -> None:
        """Outside of any scope, a response that shielded work returns is read to its end."""

        async def ask() -> Any:
            return await self.get()

        got = Deferred.fromCoroutine(self.fetch_from(shield(ask())))
        exchange = await self.begin()
        await self.assert_goes_on(exchange)
        self.assertEqual(await got, b"first half")

    async def test_detached_from_shielded_work(self) -> None:
        """A coroutine that shielded work detaches reads its body to the end."""

        async def outer() -> bytes:
            detach(self.fetch())
            return b"done"

        connection = await self.visit(self.page(always(lambda: shield(outer()))))
        exchange = await self.begin()
        self.assertTrue((await connection.closed).endswith(b"done"))
        await self.assert_goes_on(exchange)

    async def test_shared(self) -> None:
        """A shared run reads on for a second caller when the client that began it leaves."""
        fetch = Shared(self.fetch)
        leaver = await self.visit(self.page(always(fetch)))
        exchange = await self.begin()
        other = fetch()
        leaver.leave()
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)
        await self.assert_goes_on(exchange)
        self.assertEqual(await other, b"first half")

    async def test_shared_until_the_last_client_leaves(self) -> None:
        """A shared run whose last caller leaves while the body comes drops its request."""
        connection = await self.visit(self.page(always(Shared(self.fetch))))
        exchange = await self.begin()
        await self.assert_dropped(exchange, connection)

    async def test_shared_before_the_headers(self) -> None:
        """A shared run whose last caller leaves before the headers come drops its request."""
        connection = await self.visit(self.page(always(Shared(self.fetch))))
        exchange = await self.upstream.exchange()
        await exchange.asked()
        await self.assert_dropped(exchange, connection)

    async def test_shared_stream(self) -> None:
        """A shared run whose last caller leaves while it streams a body drops its request."""

        async def fetch() -> bytes:
            chunks = stream_body(await self.get())
            reactor.callLater(0, self.begun.callback, None)
            return b"".join([chunk async for chunk in chunks])

        connection = await self.visit(self.page(always(Shared(fetch))))
        await self.assert_dropped(await self.begin(), connection)

    async def test_detached_before_the_headers(self) -> None:
        """A detached coroutine waits for its headers after the client has left, and reads on."""

        async def handler(_: Request) -> bytes:
            detach(self.fetch())
            return await Deferred()

        connection = await self.visit(self.page(handler))
        exchange = await self.upstream.exchange()
        await exchange.asked()
        connection.leave()
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)
        exchange.say(FIRST)
        await self.assert_goes_on(exchange)

    async def test_shared_by_detached_work(self) -> None:
        """A shared run reads on for detached work after the client has left."""
        fetch = Shared(self.fetch)

        async def wait() -> None:
            await fetch()

        async def handler(_: Request) -> bytes:
            detach(wait())
            return await fetch()

        connection = await self.visit(self.page(handler))
        exchange = await self.begin()
        connection.leave()
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)
        await self.assert_goes_on(exchange)

    async def test_shared_by_shielded_work(self) -> None:
        """A shared run reads on for shielded work after the client has left; the scope waits."""
        connection = await self.visit(self.page(always(lambda: shield(Shared(self.fetch)()))))
        exchange = await self.begin()
        connection.leave()
        await self.assert_goes_on(exchange)
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)

    async def test_detached_from_a_run(self) -> None:
        """A coroutine that a shared run detaches reads on when the last caller has left."""

        async def run() -> bytes:
            detach(self.fetch())
            return await Deferred()

        connection = await self.visit(self.page(always(Shared(run))))
        exchange = await self.begin()
        connection.leave()
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)
        await self.assert_goes_on(exchange)

    async def test_shielded_in_a_run(self) -> None:
        """A body that a shared run shields is read to its end, for which the scope waits."""

        async def run() -> bytes:
            return await shield(self.fetch())

        connection = await self.visit(self.page(always(Shared(run))))
        exchange = await self.begin()
        connection.leave()
        await self.assert_goes_on(exchange)
        self.assertEqual((await self.outcome).ended, Ended.STOPPED)

    async def test_run_within_a_run(self) -> None:
        """A shared run whose only caller is another run is dropped with that run."""
        inner = Shared(self.fetch)

        async def outer() -> bytes:
            return await inner()

        connection = await self.visit(self.page(always(Shared(outer))))
        await self.assert_dropped(await self.begin(), connection)

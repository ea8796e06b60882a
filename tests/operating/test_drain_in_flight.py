"""What a drain does to the requests in flight: they may finish, or are cancelled.

What belongs here: requests in memory that were there before. What does not: new ones
(`test_drain`), and what is waited for when they are over (`test_drain_end`).
"""

from twisted.internet.defer import Deferred
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import (
    Draining,
    Ended,
    cancel_on_disconnect,
)

from .._http2 import HTTP2Client
from .._inmemory import H2Connection
from .._pages import returning, waiting
from .._work import Errand
from ._drains import DrainTestCase


class InFlightTests(DrainTestCase):
    """Requests that were there before."""

    def test_may_finish(self) -> None:
        """One that ends in time is answered as ever; the drain is over when the last has ended."""
        answers: list[Deferred[bytes]] = [Deferred(), Deferred()]
        clients = [self.connection(returning(answer)) for answer in answers]
        for connection in clients:
            connection.get()
        done = self.drain()
        self.advance(9)
        answers[0].callback(b"one")
        self.advance(0)
        self.assertEqual(done, [])
        answers[1].callback(b"two")
        self.advance(0)
        self.assertEqual(done, [None])
        self.assertEqual([connection.response.code for connection in clients], [200, 200])
        for connection in clients:
            connection.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_are_the_last_of_their_connections(self) -> None:
        """The answer says so, lest the client sends another request just when all is over."""
        answer: Deferred[bytes] = Deferred()
        connection = self.connection(returning(answer))
        connection.get()
        self.drain()
        answer.callback(b"page")
        self.assertEqual(connection.response.header(b"connection"), b"close")
        self.assertEqual((connection.response.code, connection.response.body), (200, b"page"))
        self.clock.advance(0)
        self.assertTrue(connection.is_closed)

    def test_that_have_begun_say_no_more(self) -> None:
        """What has sent its headers cannot say it, and its connection stays open behind it."""
        requests: list[Request] = []

        def handler(request: Request) -> int:
            requests.append(request)
            request.write(b"half")
            return NOT_DONE_YET

        connection = self.connection(handler)
        connection.get()
        self.drain()
        requests[0].finish()
        self.assertFalse(connection.is_closed)
        connection.get()
        self.assertEqual([each.code for each in connection.responses], [200, 503])

    def test_over_http2(self) -> None:
        """There is nothing to say: a stream of HTTP/2 may have no header of connections."""
        answer: Deferred[bytes] = Deferred()
        protocol = HTTP2Client()
        connection = H2Connection(
            self.connection(returning(answer)).client.site, self.clock, protocol
        )
        stream = protocol.get("/")
        connection.pump()
        self.drain()
        answer.callback(b"page")
        connection.pump()
        self.clock.advance(0)
        connection.pump()
        self.assertEqual((stream.headers[b":status"], stream.body), (b"200", b"page"))
        self.assertNotIn(b"connection", stream.headers)

    def test_are_cancelled_when_the_time_is_over(self) -> None:
        """Then what is left is cancelled with `Draining`, and answered 503, whatever its method."""
        clients = [self.connection(waiting) for _ in range(2)]
        clients[0].get()
        clients[1].request(method=b"POST")
        done = self.drain()
        self.advance(9.9)
        self.assertEqual([connection.received for connection in clients], [b"", b""])
        self.advance(0.1)
        for connection in clients:
            self.assertEqual(connection.response.code, 503)
            self.assertEqual(connection.response.header(b"retry-after"), b"1")
            self.assertEqual(connection.response.header(b"connection"), b"close")
            self.assertTrue(connection.is_closed)
        self.assertEqual(self.monitor.totals, {("Draining", "stopped"): 2})
        self.assertEqual(done, [None])

    def test_are_broken_off_where_something_was_written(self) -> None:
        """Half a response is not made to look like a whole one."""

        def handler(request: Request) -> Deferred[bytes]:
            request.write(b"half")
            return Deferred()

        connection = self.connection(handler)
        connection.get()
        done = self.drain()
        self.advance(10)
        self.assertTrue(connection.is_aborted)
        self.assertEqual((done, self.outcomes[0].cause), ([None], Draining()))

    def test_that_nobody_answers(self) -> None:
        """One whose handler went its own way is answered, too."""
        connection = self.connection(lambda _: NOT_DONE_YET)
        connection.get()
        done = self.drain(0)
        self.advance(0)
        self.assertEqual((connection.response.code, done), (503, [None]))

    def test_whose_client_has_left(self) -> None:
        """Work of a method that no disconnect cancels is cancelled by a drain."""
        errand = Errand()
        connection = self.connection(lambda _: errand)
        connection.request(method=b"POST")
        connection.disconnect()
        self.assertEqual(errand.asked, [])
        done = self.drain()
        self.advance(10)
        self.assertEqual((errand.asked, done), ([""], [None]))

    def test_whose_response_is_finished(self) -> None:
        """Work that goes on behind its response has the same time, and is then stopped."""

        async def handler(request: Request) -> None:
            request.finish()
            await Deferred()

        connection = self.connection(handler)
        connection.get()
        done = self.drain()
        self.advance(9)
        self.assertEqual((len(self.monitor.scopes), done), (1, []))
        self.advance(1)
        self.assertEqual((self.monitor.scopes, done), ((), [None]))
        [outcome] = self.outcomes
        self.assertEqual((outcome.cause, outcome.leftovers), (None, 1))
        self.assertIs(outcome.ended, Ended.COMPLETED)

    def test_a_drain_from_inside_a_handler(self) -> None:
        """A handler may begin it, and is one of those that may finish."""
        done: list[None] = []

        def handler(request: Request) -> bytes:
            self.monitor.drain(0).addCallback(done.append)
            return b"bye"

        connection = self.connection(handler)
        connection.get()
        self.assertEqual(done, [])
        self.advance(0)
        self.assertEqual((connection.response.body, done), (b"bye", [None]))

    def test_one_that_cannot_be_cancelled(self) -> None:
        """That is logged, and the others are cancelled all the same."""
        clients = [self.connection(waiting) for _ in range(2)]
        for connection in clients:
            connection.get()

        def fail(cause: object) -> None:
            raise ValueError("a request like no other")

        self.patch(self.monitor.scopes[0].life, "drain", fail)
        self.drain(0)
        self.advance(0)
        self.assertEqual(clients[1].response.code, 503)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_of_a_decorated_handler(self) -> None:
        """A decorated handler behind the entry point is drained as well."""
        connection = self.connection(cancel_on_disconnect(waiting))
        connection.get()
        self.drain(0)
        self.advance(0)
        self.assertEqual(connection.response.code, 503)

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

from .._pages import returning, waiting
from .._visits import connect_http2, response_of
from .._work import Errand
from ._drains import DrainTestCase


class InFlightTests(DrainTestCase):
    """Requests that are being handled when a drain begins."""

    def test_may_finish(self) -> None:
        """A request that ends in time is answered as ever; a drain ends with the last of them."""
        answers: list[Deferred[bytes]] = [Deferred(), Deferred()]
        connections = [self.connection(returning(answer)) for answer in answers]
        for connection in connections:
            connection.get()
        done = self.drain()
        self.advance(9)
        answers[0].callback(b"one")
        self.advance(0)
        self.assertEqual(done, [])
        answers[1].callback(b"two")
        self.advance(0)
        self.assertEqual(done, [None])
        self.assertEqual([connection.response.code for connection in connections], [200, 200])
        for connection in connections:
            connection.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_are_the_last_of_their_connections(self) -> None:
        """A response that a drain waits for closes its connection, and says so."""
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
        """A response that has begun before the drain leaves its connection open."""
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
        """A stream that a drain waits for has no Connection header, which HTTP/2 forbids."""
        answer: Deferred[bytes] = Deferred()
        stream = connect_http2(self.wrapped(returning(answer)), self.clock).get()
        self.drain()
        answer.callback(b"page")
        self.clock.advance(0)
        response = response_of(stream)
        self.assertEqual((response.code, response.body), (200, b"page"))
        self.assertIsNone(response.header(b"connection"))

    def test_are_cancelled_when_the_time_is_over(self) -> None:
        """At the end of a drain every request is cancelled with `Draining`, and answered 503."""
        connections = [self.connection(waiting) for _ in range(2)]
        connections[0].get()
        connections[1].request(method=b"POST")
        done = self.drain()
        self.advance(9.9)
        self.assertEqual([connection.received for connection in connections], [b"", b""])
        self.advance(0.1)
        for connection in connections:
            self.assertEqual(connection.response.code, 503)
            self.assertEqual(connection.response.header(b"retry-after"), b"1")
            self.assertEqual(connection.response.header(b"connection"), b"close")
            self.assertTrue(connection.is_closed)
        self.assertEqual(self.monitor.totals, {("Draining", "stopped"): 2})
        self.assertEqual(done, [None])

    def test_are_broken_off_where_something_was_written(self) -> None:
        """At the end of a drain a response that has begun is broken off."""

        def handler(request: Request) -> Deferred[bytes]:
            request.write(b"half")
            return Deferred()

        connection = self.connection(handler)
        connection.get()
        done = self.drain()
        self.advance(10)
        self.assertTrue(connection.is_aborted)
        self.assertEqual((done, self.outcomes[0].cause), ([None], Draining()))

    def test_that_their_handler_does_not_answer(self) -> None:
        """At the end of a drain a request whose handler returned NOT_DONE_YET is answered."""
        connection = self.connection(lambda _: NOT_DONE_YET)
        connection.get()
        done = self.drain(0)
        self.advance(0)
        self.assertEqual((connection.response.code, done), (503, [None]))

    def test_whose_client_has_left(self) -> None:
        """A drain cancels the work of a POST that was spared, and its disconnect is counted."""
        errand = Errand()
        connection = self.connection(lambda _: errand)
        connection.request(method=b"POST")
        connection.disconnect()
        self.assertEqual(errand.asked, [])
        done = self.drain()
        self.advance(10)
        self.assertEqual((errand.asked, done), ([""], [None]))
        self.assertEqual(self.monitor.would_have_cancelled, {"Disconnected": 1})

    def test_whose_response_is_finished(self) -> None:
        """Work that goes on behind its response is stopped at the end of a drain."""

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
        """A handler may begin a drain, which then waits for that handler."""
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
        """When a drain fails to cancel a request, that is logged, and the others are cancelled."""
        connections = [self.connection(waiting) for _ in range(2)]
        for connection in connections:
            connection.get()

        def fail(cause: object) -> None:
            raise ValueError("a request like no other")

        self.patch(self.monitor.scopes[0].life, "drain", fail)
        self.drain(0)
        self.advance(0)
        self.assertEqual(connections[1].response.code, 503)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_of_a_decorated_handler(self) -> None:
        """A drain cancels a decorated handler inside a wrapped tree."""
        connection = self.connection(cancel_on_disconnect(waiting))
        connection.get()
        self.drain(0)
        self.advance(0)
        self.assertEqual(connection.response.code, 503)

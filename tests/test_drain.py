"""A drain: who is turned away, who may finish, who is cancelled, and what is waited for.

What belongs here: drains of requests in memory. What does not: those of real connections
(`test_drain_real`).
"""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import (
    CancellingResource,
    Draining,
    Ended,
    Outcome,
    Scope,
    cancel_on_disconnect,
    detach,
)
from cancelweb.monitor import Monitor

from ._http2 import HTTP2Client
from ._inmemory import Client, H2Connection, log_events, of_cancelweb
from ._scopes import Errand, Handler, Leaf, returning, waiting


class DrainTestCase(SynchronousTestCase):
    """What the tests below share."""

    def setUp(self) -> None:
        """A monitor, and the outcomes that it tells."""
        self.clock = Clock()
        self.monitor = Monitor(self.clock)
        self.outcomes: list[Outcome] = []
        self.monitor.add_observer(self.outcomes.append)

    def client(self, handler: Handler, **options: Any) -> Client:
        """A client of a handler that is wrapped."""
        return Client(
            CancellingResource(Leaf(handler), monitor=self.monitor, **options), self.clock
        )

    def drain(self, seconds: float = 10) -> list[None]:
        """Begin one; returns what will have one item when it is done."""
        done: list[None] = []
        self.monitor.drain(seconds).addCallback(done.append)
        return done

    def advance(self, *steps: float) -> None:
        """Let time pass, and a turn of the reactor after each step."""
        for seconds in steps:
            self.clock.advance(seconds)
            self.clock.advance(0)


class NewRequestsTests(DrainTestCase):
    """Requests that come once it has begun."""

    def test_are_turned_away(self) -> None:
        """They are answered 503, told when to come again, and their handler is not run."""
        ran: list[Request] = []

        def handler(request: Request) -> bytes:
            ran.append(request)
            return b"page"

        client = self.client(handler)
        client.request()
        self.drain()
        self.clock.advance(0.5)
        client.request()
        served, refused = client.responses
        self.assertEqual((len(ran), served.status, refused.status), (1, 200, 503))
        self.assertEqual(refused.headers[b"retry-after"], b"10")
        self.assertEqual(refused.headers[b"connection"], b"close")
        self.assertEqual(self.outcomes[-1].cause, Draining(10))
        self.assertEqual(self.outcomes[-1].ended, Ended.REFUSED)
        self.assertEqual(self.monitor.totals[("Draining", "refused")], 1)

    def test_their_connection_is_closed(self) -> None:
        """The server closes it behind the answer, and handles nothing that was sent behind."""
        client = self.client(lambda _: b"page")
        self.drain()
        client.transport.deliver(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        self.clock.advance(0)
        self.assertTrue(client.is_closed)
        self.assertEqual(client.received.count(b"HTTP/1.1 503"), 1)

    def test_for_ever(self) -> None:
        """They are when the drain is over, too."""
        done = self.drain()
        self.advance(0)
        self.assertEqual(done, [None])
        client = self.client(lambda _: b"page")
        client.request()
        self.assertEqual(client.response.status, 503)

    def test_whatever_their_method(self) -> None:
        """A POST is no exception, nor is a HEAD, which gets no body."""
        self.drain()
        for method in b"POST", b"HEAD":
            client = self.client(lambda _: b"page")
            client.request(method=method)
            self.assertEqual(client.response.status, 503)

    def test_over_http2(self) -> None:
        """A stream is answered 503 with Retry-After, and its connection goes on."""
        protocol = HTTP2Client()
        site = self.client(lambda _: b"page").site
        connection = H2Connection(site, self.clock, protocol)
        self.drain()
        for _ in range(2):
            stream = protocol.get("/")
            connection.pump()
            self.assertEqual(stream.headers[b":status"], b"503")
            self.assertEqual(stream.headers[b"retry-after"], b"10")
            self.assertNotIn(b"connection", stream.headers)

    def test_at_a_door_inside(self) -> None:
        """Where only a part of a site is drained, its handlers are not run."""
        inner: Any = CancellingResource(Leaf(self.fail), monitor=self.monitor)
        root = Resource()
        root.putChild(b"part", inner)
        root.putChild(b"rest", Leaf(lambda _: b"page"))
        client = Client(CancellingResource(root, monitor=Monitor()), self.clock)
        self.drain()
        client.request(path=b"/rest")
        client.request(path=b"/part")
        self.clock.advance(0)
        self.assertEqual([each.status for each in client.responses], [200, 503])

    def test_one_that_was_accepted_before(self) -> None:
        """A request that meets a second door of the same monitor while it drains is not new."""
        rest: Deferred[None] = Deferred()
        page = CancellingResource(Leaf(lambda _: b"page"), monitor=self.monitor)

        async def handler(request: Request) -> object:
            await rest
            return page.render(request)

        client = self.client(handler)
        client.request()
        self.drain()
        rest.callback(None)
        self.assertEqual((client.response.status, client.response.body), (200, b"page"))


class InFlightTests(DrainTestCase):
    """Requests that were there before."""

    def test_may_finish(self) -> None:
        """One that ends in time is answered as ever; the drain is over when the last has ended."""
        answers: list[Deferred[bytes]] = [Deferred(), Deferred()]
        clients = [self.client(returning(answer)) for answer in answers]
        for client in clients:
            client.request()
        done = self.drain()
        self.advance(9)
        answers[0].callback(b"one")
        self.advance(0)
        self.assertEqual(done, [])
        answers[1].callback(b"two")
        self.advance(0)
        self.assertEqual(done, [None])
        self.assertEqual([client.response.status for client in clients], [200, 200])
        for client in clients:
            client.disconnect()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_are_the_last_of_their_connections(self) -> None:
        """The answer says so, lest the client sends another request just when all is over."""
        answer: Deferred[bytes] = Deferred()
        client = self.client(returning(answer))
        client.request()
        self.drain()
        answer.callback(b"page")
        self.assertEqual(client.response.headers[b"connection"], b"close")
        self.assertEqual((client.response.status, client.response.body), (200, b"page"))
        self.clock.advance(0)
        self.assertTrue(client.is_closed)

    def test_that_have_begun_say_no_more(self) -> None:
        """What has sent its headers cannot say it, and its connection stays open behind it."""
        requests: list[Request] = []

        def handler(request: Request) -> int:
            requests.append(request)
            request.write(b"half")
            return NOT_DONE_YET

        client = self.client(handler)
        client.request()
        self.drain()
        requests[0].finish()
        self.assertFalse(client.is_closed)
        client.request()
        self.assertEqual([each.status for each in client.responses], [200, 503])

    def test_over_http2(self) -> None:
        """There is nothing to say: a stream of HTTP/2 may have no header of connections."""
        answer: Deferred[bytes] = Deferred()
        protocol = HTTP2Client()
        connection = H2Connection(self.client(returning(answer)).site, self.clock, protocol)
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
        clients = [self.client(waiting) for _ in range(2)]
        clients[0].request()
        clients[1].request(method=b"POST")
        done = self.drain()
        self.advance(9.9)
        self.assertEqual([client.received for client in clients], [b"", b""])
        self.advance(0.1)
        for client in clients:
            self.assertEqual(client.response.status, 503)
            self.assertEqual(client.response.headers[b"retry-after"], b"1")
            self.assertEqual(client.response.headers[b"connection"], b"close")
            self.assertTrue(client.is_closed)
        self.assertEqual(self.monitor.totals, {("Draining", "stopped"): 2})
        self.assertEqual(done, [None])

    def test_are_broken_off_where_something_was_written(self) -> None:
        """Half a response is not made to look like a whole one."""

        def handler(request: Request) -> Deferred[bytes]:
            request.write(b"half")
            return Deferred()

        client = self.client(handler)
        client.request()
        done = self.drain()
        self.advance(10)
        self.assertTrue(client.is_aborted)
        self.assertEqual((done, self.outcomes[0].cause), ([None], Draining()))

    def test_that_nobody_answers(self) -> None:
        """One whose handler went its own way is answered, too."""
        client = self.client(lambda _: NOT_DONE_YET)
        client.request()
        done = self.drain(0)
        self.advance(0)
        self.assertEqual((client.response.status, done), (503, [None]))

    def test_whose_client_has_left(self) -> None:
        """Work of a method that no disconnect cancels is cancelled by a drain."""
        errand = Errand()
        client = self.client(lambda _: errand)
        client.request(method=b"POST")
        client.disconnect()
        self.assertEqual(errand.asked, [])
        done = self.drain()
        self.advance(10)
        self.assertEqual((errand.asked, done), ([""], [None]))

    def test_whose_response_is_finished(self) -> None:
        """Work that goes on behind its response has the same time, and is then stopped."""

        async def handler(request: Request) -> None:
            request.finish()
            await Deferred()

        client = self.client(handler)
        client.request()
        done = self.drain()
        self.advance(9)
        self.assertEqual((len(self.monitor.scopes), done), (1, []))
        self.advance(1)
        self.assertEqual((self.monitor.scopes, done), ((), [None]))
        self.assertEqual(self.outcomes[0].cause, Draining())

    def test_a_drain_from_inside_a_handler(self) -> None:
        """A handler may begin it, and is one of those that may finish."""
        done: list[None] = []

        def handler(request: Request) -> bytes:
            self.monitor.drain(0).addCallback(done.append)
            return b"bye"

        client = self.client(handler)
        client.request()
        self.assertEqual(done, [])
        self.advance(0)
        self.assertEqual((client.response.body, done), (b"bye", [None]))

    def test_one_that_cannot_be_cancelled(self) -> None:
        """That is logged, and the others are cancelled all the same."""
        clients = [self.client(waiting) for _ in range(2)]
        for client in clients:
            client.request()

        def fail(cause: object) -> None:
            raise ValueError("a request like no other")

        self.patch(self.monitor.scopes[0], "stop", fail)
        self.drain(0)
        self.advance(0)
        self.assertEqual(clients[1].response.status, 503)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_of_a_decorated_handler(self) -> None:
        """A decorated handler behind the door is drained as well."""
        client = self.client(cancel_on_disconnect(waiting))
        client.request()
        self.drain(0)
        self.advance(0)
        self.assertEqual(client.response.status, 503)


class CleanupTests(DrainTestCase):
    """What is waited for when the requests have been cancelled."""

    def test_hooks(self) -> None:
        """The drain is over when the hooks have been run."""
        cleaned: Deferred[None] = Deferred()
        client = self.client(waiting, on_exit=lambda _: cleaned)
        client.request()
        done = self.drain()
        self.advance(10, 5)
        self.assertEqual((client.response.status, done), (503, []))
        cleaned.callback(None)
        self.advance(0)
        self.assertEqual(done, [None])

    def test_hooks_are_not_cut(self) -> None:
        """What a hook does when the time is over is not cancelled, nor is its scope."""
        step: Deferred[None] = Deferred()

        async def hook(scope: Scope) -> None:
            await scope.track(step)

        client = self.client(waiting, on_exit=hook)
        client.request()
        client.disconnect()
        done = self.drain(5)
        self.advance(5, 4.5)
        self.assertEqual((step.called, done), (False, []))
        step.callback(None)
        self.advance(0)
        self.assertEqual(done, [None])
        self.assertEqual(self.monitor.totals, {("Disconnected", "stopped"): 1})

    def test_a_hook_that_hangs(self) -> None:
        """It has its ``cleanup_timeout``."""
        self.client(waiting, on_exit=lambda _: Deferred(), cleanup_timeout=3).request()
        done = self.drain()
        self.advance(10, 2.9)
        self.assertEqual(done, [])
        self.advance(0.2)
        self.assertEqual(done, [None])

    def test_a_survivor(self) -> None:
        """Work that does not stop is waited for until it is named a survivor."""
        self.client(lambda _: Errand(obedient=False), survivor_after=2).request()
        done = self.drain()
        self.advance(10, 1.9)
        self.assertEqual(done, [])
        self.advance(0.2)
        self.assertEqual((done, len(self.monitor.survivors)), ([None], 1))


class DetachedTests(DrainTestCase):
    """Work that requests have detached."""

    def setUp(self) -> None:
        """A request that is answered, and work that it has left behind."""
        super().setUp()
        self.errand = Errand(obedient=False)
        self.client(self.handler).request()

    def handler(self, request: Request) -> bytes:
        """Detach, and answer."""
        detach(self.errand)
        return b"page"

    def test_is_waited_for(self) -> None:
        """The drain is over when it has ended."""
        done = self.drain(30)
        self.advance(29)
        self.assertEqual((done, self.errand.asked), ([], []))
        self.errand.end()
        self.advance(0)
        self.assertEqual(done, [None])

    def test_has_ten_seconds_more(self) -> None:
        """It has ten seconds from when the last scope has closed; then it is asked to stop."""
        done = self.drain(5)
        self.advance(5, 9.9)
        self.assertEqual((done, self.errand.asked), ([], []))
        self.advance(0.1)
        self.assertEqual((done, self.errand.asked), ([], [""]))
        self.errand.fail(CancelledError())
        self.advance(0)
        self.assertEqual(done, [None])
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_that_does_not_stop(self) -> None:
        """Five seconds later it is logged, and the drain is over."""
        done = self.drain(0)
        self.advance(0, 10, 4.9)
        events = log_events(self)
        self.assertEqual(done, [])
        self.advance(0.1)
        self.assertEqual(done, [None])
        (event,) = of_cancelweb(events)
        self.assertEqual(
            formatEvent(event), f"{self.errand!r} is detached, and still runs after the drain"
        )

    def test_whose_canceller_fails(self) -> None:
        """It is logged, and stops nothing."""
        self.patch(self.errand, "cancel", self.fail_to_cancel)
        done = self.drain(0)
        self.advance(0, 10)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.advance(5)
        self.assertEqual(done, [None])

    def test_has_the_clock_of_the_drain(self) -> None:
        """A detached timer, say, that is far off is cancelled on time."""
        self.errand.end()

        def handler(request: Request) -> bytes:
            detach(self.clock.callLater(60, self.fail))
            return b"page"

        self.client(handler).request()
        done = self.drain(0)
        self.advance(0, 10)
        self.assertEqual((done, self.monitor.detached), ([None], ()))
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def fail_to_cancel(self) -> None:
        """A canceller with an error."""
        raise ValueError("a canceller's bug")


class DryRunTests(DrainTestCase):
    """A drain where the door is in a dry run."""

    def test_turns_nobody_away(self) -> None:
        """New requests are handled as ever."""
        self.drain()
        client = self.client(lambda _: b"page", dry_run=True)
        client.request()
        self.assertEqual(client.response.status, 200)

    def test_says_nothing(self) -> None:
        """Answers of requests in flight are what they would be."""
        answer: Deferred[bytes] = Deferred()
        client = self.client(returning(answer), dry_run=True)
        client.request()
        self.drain()
        answer.callback(b"page")
        self.assertNotIn(b"connection", client.response.headers)
        self.assertFalse(client.is_closed)

    def test_cancels_nothing(self) -> None:
        """It ends when the time is over, and what it would have cancelled is counted and logged."""
        events = log_events(self)
        errand = Errand()
        client = self.client(lambda _: errand, dry_run=True)
        client.request()
        done = self.drain()
        self.advance(10)
        self.assertEqual((done, errand.asked, client.received), ([None], [], b""))
        errand.end(b"page")
        self.assertEqual(client.response.status, 200)
        self.assertEqual(self.monitor.totals, {("none", "completed"): 1})
        self.assertEqual(self.monitor.would_have_cancelled, {"Draining": 1})
        (event,) = of_cancelweb(events)
        self.assertIn("would have been cancelled: the server is shutting down", formatEvent(event))

    def test_counts_disconnects_and_deadlines(self) -> None:
        """They are counted, each by its cause, and so are those of methods that may not be cut."""
        for timeout in None, 3:
            errand = Errand()
            client = self.client(returning(errand), dry_run=True, timeout=timeout)
            client.request()
            if timeout:
                self.clock.advance(3)
            else:
                client.disconnect()
            errand.end(b"page")
        client = self.client(waiting)
        client.request(method=b"POST")
        client.disconnect()
        self.drain(0)
        self.advance(0)
        would = {"Disconnected": 2, "TimedOut": 1}
        self.assertEqual(self.monitor.would_have_cancelled, would)


class CallTests(DrainTestCase):
    """The call itself."""

    def test_is_the_same_for_all(self) -> None:
        """Who calls it again has a Deferred of his own, and changes nothing."""
        client = self.client(waiting)
        client.request()
        first, second = self.drain(10), self.drain(99)
        self.advance(10)
        self.assertEqual((first, second, self.drain(0)), ([None], [None], [None]))

    def test_a_wait_can_be_given_up(self) -> None:
        """To cancel its Deferred stops the wait, and not the drain."""
        client = self.client(waiting)
        client.request()
        given_up, done = self.monitor.drain(10), self.drain()
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        self.advance(10)
        self.assertEqual((done, client.response.status), ([None], 503))

    def test_is_told(self) -> None:
        """A monitor tells whether it drains."""
        self.assertFalse(self.monitor.is_draining)
        self.drain()
        self.assertTrue(self.monitor.is_draining)

    def test_wrong_seconds(self) -> None:
        """What is no number of seconds is an error, and begins nothing."""
        wrong: list[tuple[Any, type[Exception]]] = [
            ("10", TypeError),
            (True, TypeError),
            (None, TypeError),
            (-1, ValueError),
            (float("inf"), ValueError),
            (float("nan"), ValueError),
        ]
        for seconds, error in wrong:
            with self.assertRaisesRegex(error, "^seconds must be"):
                self.monitor.drain(seconds)
        self.assertFalse(self.monitor.is_draining)

    def test_takes_the_time_of_the_site(self) -> None:
        """Where the monitor was given no clock, it is that of the requests."""
        monitor = Monitor()
        client = Client(CancellingResource(Leaf(waiting), monitor=monitor), self.clock)
        client.request()
        done = self.monitor.drain(0), monitor.drain(10)
        self.advance(10)
        self.assertEqual(client.response.status, 503)
        for each in done:
            self.successResultOf(each)

    def test_a_wrong_clock(self) -> None:
        """A clock that is none is a TypeError at once."""
        wrong: Any = 5
        with self.assertRaisesRegex(TypeError, "^clock must provide IReactorTime"):
            Monitor(wrong)

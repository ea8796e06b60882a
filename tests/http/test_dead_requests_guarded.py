"""Requests after their end: nothing that is done to them raises or is logged.

What a handler sees when its request dies is for `test_dead_requests`.
"""

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.pages import notFound
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from cancelweb import Cause, Ended, cancel_on_disconnect

from .._logs import log_events, of_cancelweb
from .._pages import Page, waiting
from .._visits import Visit, connect
from .._work import Errand


@implementer(IPushProducer)
class Producer:
    """A producer that counts how often it is stopped and resumed."""

    def __init__(self) -> None:
        self.stopped = self.resumed = 0

    def stopProducing(self) -> None:
        """Count the call."""
        self.stopped += 1

    def pauseProducing(self) -> None:
        """Nothing to pause."""

    def resumeProducing(self) -> None:
        """Count the call."""
        self.resumed += 1


class GuardTests(SynchronousTestCase):
    """The methods of a dead request do nothing."""

    def dead_request(self, how: str) -> Request:
        """A request that was lost or finished after an entry point had met it."""
        kept: list[Request] = []

        def handler(request: Request) -> Deferred[bytes]:
            kept.append(request)
            return Deferred()

        visit = Visit(handler, on_cancel=lambda _: Deferred(), observers=())
        if how == "lost":
            visit.disconnect()
        else:
            kept[0].finish()
        self.visit = visit
        return kept[0]

    def test_its_methods_do_nothing(self) -> None:
        """The methods of a lost or finished request neither raise nor send anything."""
        for how in ("lost", "finished"):
            request = self.dead_request(how)
            received = self.visit.received
            request.write(b"more")
            request.unregisterProducer()
            request.loseConnection()
            if how == "lost":
                request.finish()
            self.assertEqual(self.visit.received, received)
        self.assertEqual(self.flushWarnings(), [])

    def test_work_that_the_end_of_the_request_settles(self) -> None:
        """A page that another listener delivers at the end of the request is not sent."""
        for how in ("lost", "finished"):
            result: Deferred[bytes] = Deferred()
            kept: list[Request] = []
            page = Page(cancel_on_disconnect(partial(self.settled_by_the_end, kept, result)))
            connection = connect(page)
            connection.get()
            if how == "lost":
                connection.disconnect()
            else:
                kept[0].finish()
            self.assertEqual(result.result, None)
            self.assertNotIn(b"late", connection.received)

    @staticmethod
    def kept_open(kept: list[Request], request: Request) -> int:
        """A handler that means to answer later."""
        kept.append(request)
        return NOT_DONE_YET

    @staticmethod
    def settled_by_the_end(
        kept: list[Request], result: Deferred[bytes], request: Request
    ) -> Deferred[bytes]:
        """A handler whose result comes when its request ends."""
        kept.append(request)
        request.notifyFinish().addBoth(lambda _: result.callback(b"late"))
        return result

    def test_a_producer_is_stopped(self) -> None:
        """A producer that is registered on a dead request is stopped once, and produces nothing."""
        for how in ("lost", "finished"):
            for streaming in (True, False):
                producer = Producer()
                self.dead_request(how).registerProducer(producer, streaming)
                self.assertEqual((producer.stopped, producer.resumed), (1, 0))

    def test_what_did_not_raise_does_not(self) -> None:
        """Methods such as `getHost` still work on a request that was answered at its deadline."""
        for name in ("isSecure", "prePathURL", "URLPath", "getSession", "getHost", "getClientIP"):
            requests: list[Any] = []

            def handler(request: Any, requests: list[Any] = requests) -> Deferred[bytes]:
                requests.append(request)
                return Deferred()

            Visit(handler, timeout=1).clock.advance(1)
            getattr(requests[0], name)()
            for session in list(requests[0].site.sessions.values()):
                session.expire()

    def test_finished_twice(self) -> None:
        """`finish` called twice on a healthy request still warns, as in Twisted."""
        request = self.dead_request("finished")
        request.finish()
        (warning,) = self.flushWarnings()
        self.assertIn("request.finish called twice", warning["message"])

    def test_finished_after_the_answer_of_cancelweb(self) -> None:
        """A handler's own `write` and `finish` are silent after cancelweb has answered."""

        def ending(request: Request, cause: Cause) -> None:
            request.finish()

        pages: list[Any] = [None, lambda *_: b"own", ending, lambda *_: notFound()]
        for error_page in pages:
            kept: list[Request] = []
            page = cancel_on_disconnect(timeout=1, error_page=error_page, observers=())
            connection = connect(Page(page(partial(self.kept_open, kept))))
            connection.get()
            connection.client.clock.advance(1)
            received = connection.received
            for _ in range(2):
                kept[0].write(b"late")
                kept[0].finish()
            self.assertEqual((connection.received, self.flushWarnings()), (received, []))

    def test_a_living_request_is_left_alone(self) -> None:
        """A request that is alive has no method replaced."""
        kept: list[Request] = []

        def handler(request: Request) -> Deferred[bytes]:
            kept.append(request)
            return Deferred()

        Visit(handler)
        self.assertEqual({"write", "finish", "registerProducer"} & set(vars(kept[0])), set())


class NothingUnhandledTests(SynchronousTestCase):
    """No "Unhandled error in Deferred" is caused by cancelweb."""

    def test_a_client_that_leaves(self) -> None:
        """An abandoned request logs one line at info, one more for work let go, and no error."""
        handlers: list[tuple[Any, int]] = [
            (waiting, 1),
            (lambda _: NOT_DONE_YET, 2),
            (lambda _: Errand(), 1),
            (lambda _: succeed(None).addCallback(lambda _: Deferred()), 1),
        ]
        for handler, count in handlers:
            events = log_events(self)
            connection = connect(Page(cancel_on_disconnect(handler)))
            connection.get()
            connection.disconnect()
            levels = [each["log_level"].name for each in of_cancelweb(events)]
            self.assertEqual(levels, ["info"] * count)
            self.assertEqual([each for each in events if "log_failure" in each], [])

    def test_a_client_that_stays(self) -> None:
        """A request that completes logs no line of cancelweb's."""
        events = log_events(self)
        result: Deferred[bytes] = Deferred()
        connection = connect(Page(cancel_on_disconnect(lambda _: result)))
        connection.get()
        result.callback(b"page")
        connection.disconnect()
        self.assertEqual(of_cancelweb(events), [])

    def test_tracked_work_that_is_not_awaited(self) -> None:
        """A tracked Deferred that is cancelled leaves no unhandled CancelledError."""
        visit = Visit(waiting)
        visit.scope.track(Deferred[None]())
        visit.disconnect()
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_an_error_that_is_not_ours(self) -> None:
        """A CancelledError that the scope did not cause is a 500, and is logged."""
        result: Deferred[bytes] = Deferred()
        visit = Visit(lambda _: result)
        result.cancel()
        visit.clock.advance(0)
        self.assertEqual(visit.response.code, 500)
        self.assertEqual(visit.outcome.ended, Ended.FAILED)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

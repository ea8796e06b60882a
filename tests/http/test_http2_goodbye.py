"""Requests over HTTP/2 that are being handled when one side says goodbye, with GOAWAY.

From then on nothing can be written, though Twisted may report the loss much later. What belongs
here: what follows for work that runs. What does not: requests that come in the same read
(`test_http2_goaway`).
"""

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.server import Request

from cancelweb import Cause, Disconnected, Ended

from .._frames import frames
from .._pages import PAGE, returning
from .._work import Errand
from ._goodbyes import GoodbyeTestCase, HandlerError

RESULTS: list[object] = [PAGE, Failure(HandlerError())]

IDLE = 60
"""The seconds of silence after which Twisted says goodbye, unless told otherwise."""


class ClientTests(GoodbyeTestCase):
    """Requests that are being handled when the client says goodbye."""

    def test_a_result(self) -> None:
        """The work is stopped when the client says goodbye, and nothing is written or logged."""
        self.wrap(self.work)
        self.get()
        self.go_away()
        self.assertEqual(self.stopped, [b"/"])
        self.assertTrue(self.works[b"/"].called)
        self.assert_nothing_written()
        self.assert_logged()
        self.assert_told_once()
        self.assertIsInstance(self.outcomes[0].cause, Disconnected)

    def test_a_result_of_work_that_takes_no_notice(self) -> None:
        """Work that ignores its cancellation runs on: its result is dropped, its failure logged."""
        for result in RESULTS:
            work = Errand(obedient=False)
            self.wrap(returning(work))
            self.get()
            self.go_away()
            self.assertEqual((work.asked, self.outcomes), ([""], []))
            self.end_spared(work, result)

    def end_spared(self, work: Errand, result: object) -> None:
        """The work ends so: nothing is written, and only a failure is logged."""
        work.end(result)
        self.assert_nothing_written()
        self.assert_logged(*([HandlerError] if result is not PAGE else []))
        self.assert_told_once()

    def test_a_post(self) -> None:
        """A POST runs on after the client's goodbye: its result is dropped, its failure logged."""
        for result in RESULTS:
            work = Errand()
            self.wrap(returning(work))
            self.get(method=b"POST")
            self.go_away()
            self.assertEqual(work.asked, [])
            self.end_spared(work, result)

    def test_a_stream(self) -> None:
        """An async generator is closed when the client says goodbye."""
        self.wrap(self.async_generator)
        self.get()
        self.go_away()
        self.assertEqual(self.produced[-1], "closed")
        self.assert_nothing_written()
        self.assert_logged()
        self.assert_told_once()


class ServerTests(GoodbyeTestCase):
    """The server has said goodbye to a silent client, and waits for it to read that."""

    idle_timeout = IDLE

    def say_goodbye(self, handler: Any = None, **options: Any) -> None:
        """Have a request handled, while the client neither sends nor reads for too long."""
        self.wrap(self.work if handler is None else handler, **options)
        self.get()
        self.connection.pause()
        self.clock.advance(IDLE)
        self.assertFalse(self.connection.is_closed)

    def assert_over(self, *errors: type[Exception]) -> None:
        """Nothing was written, and only these errors were logged; the scope closes in the end."""
        self.connection.resume()
        self.assertIn("GoAwayFrame", frames(self.connection.received))
        self.assert_nothing_written()
        self.assert_logged(*errors)
        self.connection.disconnect()
        self.turn(3)
        self.assert_told_once()
        self.assert_logged()

    def test_a_result(self) -> None:
        """A result that arrives after the server's goodbye is dropped."""
        self.say_goodbye()
        self.works[b"/"].callback(PAGE)
        self.turn(3)
        self.assert_over()
        self.assertIsNot(self.outcomes[0].ended, Ended.FAILED)

    def test_a_failure(self) -> None:
        """A failure after the server's goodbye is logged, once."""
        self.say_goodbye()
        self.works[b"/"].errback(HandlerError())
        self.turn(3)
        self.assert_over(HandlerError)
        self.assertIs(self.outcomes[0].ended, Ended.FAILED)

    def test_a_deadline(self) -> None:
        """A deadline after the server's goodbye stops the work, and nothing is written."""
        self.say_goodbye(timeout=IDLE + 5)
        self.clock.advance(5)
        self.turn(3)
        self.assertEqual(self.stopped, [b"/"])
        self.assert_over()

    def test_a_cause_of_the_users_own(self) -> None:
        """A cause of the user's own stops the work after the goodbye, and nothing is written."""
        self.say_goodbye()
        (scope,) = self.monitor.scopes
        scope.cancel(Cause())
        self.turn(3)
        self.assertEqual(self.stopped, [b"/"])
        self.assert_over()

    def test_a_drain(self) -> None:
        """The end of a drain after the server's goodbye stops the work; then the drain is over."""
        done: list[None] = []
        self.say_goodbye()
        self.monitor.drain(1).addCallback(done.append)
        self.clock.pump([1] * 5)
        self.assertEqual((done, self.stopped), ([None], [b"/"]))
        self.assert_over()

    def test_a_stream(self) -> None:
        """A chunk after the server's goodbye is dropped, and its async generator is closed."""
        self.assert_stream_closed(PAGE)

    def test_a_stream_that_has_not_begun(self) -> None:
        """A first chunk after the server's goodbye is dropped with the headers, too."""
        self.assert_stream_closed()

    def assert_stream_closed(self, *before: bytes) -> None:
        """A stream that goes on after these chunks is closed; nothing is written or logged."""

        async def handler(_: Request) -> AsyncIterator[bytes]:
            try:
                for chunk in before:
                    yield chunk
                await self.works.setdefault(b"/", Deferred())
                yield PAGE
            finally:
                self.produced.append("closed")

        self.say_goodbye(handler)
        self.works[b"/"].callback(b"")
        self.turn(3)
        self.assert_over()
        self.assertEqual(self.produced, ["closed"])

    def test_more_is_asked_for(self) -> None:
        """A request after the server's goodbye is not handled, and makes it stop the work."""
        self.say_goodbye()
        # Over TLS the server reads on while it closes; the kit's transport is one of TCP.
        self.connection._transport.disconnecting = False
        self.connection.get(b"/more")
        self.turn(3)
        self.assertEqual((self.handled, self.stopped), ([b"/"], [b"/"]))
        self.assert_over()

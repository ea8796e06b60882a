"""Handlers that fail because a server that they need is out of reach: the client gets a 503.

What belongs here: the answer to `cancelweb.Unavailable`. What does not: what raises it.
"""

import pickle

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import Cause, Ended, Unavailable, Unreachable

from .._visits import Visit


def unavailable() -> Unavailable:
    """What a helper fails with."""
    return Unavailable("Celery's broker", "connection refused")


class AnswerTests(SynchronousTestCase):
    """The answer, unless the handler catches the exception."""

    def test_later(self) -> None:
        """A handler that fails later is answered 503, and the failure is logged."""
        waiting: Deferred[bytes] = Deferred()
        visit = Visit(lambda request: waiting)
        waiting.errback(unavailable())
        self.assertEqual(visit.response.code, 503)
        self.assertEqual(visit.response.header(b"retry-after"), b"1")
        self.assertIn(b"cannot be reached", visit.response.body)
        self.assertNotIn(b"Celery", visit.response.body)
        self.assertEqual(len(self.flushLoggedErrors(Unavailable)), 1)

    def test_at_once(self) -> None:
        """A handler that returns a Deferred which has failed is answered in the same way."""
        visit = Visit(lambda request: fail(unavailable()))
        self.assertEqual(visit.response.code, 503)
        self.assertEqual(len(self.flushLoggedErrors(Unavailable)), 1)

    def test_outcome(self) -> None:
        """Nothing was cancelled: the request has failed, and has no cause."""
        outcome = Visit(lambda request: fail(unavailable())).outcome
        self.assertEqual((outcome.ended, outcome.cause), (Ended.FAILED, None))
        self.assertEqual(outcome.status, 503)
        self.flushLoggedErrors(Unavailable)

    def test_error_page(self) -> None:
        """The site's error page gets the cause, which tells what is out of reach."""
        causes: list[Cause] = []

        def error_page(request: Request, cause: Cause) -> bytes:
            causes.append(cause)
            return b"later"

        visit = Visit(lambda request: fail(unavailable()), error_page=error_page)
        self.assertEqual((visit.response.code, visit.response.body), (503, b"later"))
        self.assertEqual(causes, [Unreachable("Celery's broker")])
        self.flushLoggedErrors(Unavailable)

    def test_has_begun(self) -> None:
        """If a part of the response is out, it is broken off, as after any failure."""
        waiting: Deferred[bytes] = Deferred()

        def handler(request: Request) -> Deferred[bytes]:
            request.write(b"half")
            return waiting

        visit = Visit(handler)
        waiting.errback(unavailable())
        self.assertTrue(visit.is_aborted)
        self.flushLoggedErrors(Unavailable)


class ExceptionTests(SynchronousTestCase):
    """The exception itself."""

    def test_says_what(self) -> None:
        """The text names the server and says why."""
        self.assertEqual(
            str(unavailable()), "Celery's broker cannot be reached: connection refused"
        )
        self.assertIsInstance(unavailable(), ConnectionError)

    def test_is_pickled(self) -> None:
        """The exception may be sent to another process."""
        copy = pickle.loads(pickle.dumps(unavailable()))
        self.assertEqual((str(copy), copy.cause), (str(unavailable()), unavailable().cause))

    def test_is_checked(self) -> None:
        """A server and a detail must be text."""
        self.assertRaises(TypeError, Unavailable, 1, "x")
        self.assertRaises(TypeError, Unavailable, "x", 1)

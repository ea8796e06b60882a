"""Responses over HTTP/2 that are broken off, and what a real client makes of them.

What belongs here: that no client takes half a response for a whole one. What does not: why a
response is broken off.
"""

from pathlib import Path
from shutil import which
from typing import Any

from h2.errors import ErrorCodes
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import NOT_DONE_YET, Request, Site

from cancelweb import (
    CancellingResource,
    Cause,
    Outcome,
    TimedOut,
    cancel_on_disconnect,
    current_scope,
)
from cancelweb.monitor import Monitor
from cancelweb.testing import Stream

from .._pages import Page
from .._servers import LOOPBACK, SelfSigned, reactor
from .._visits import connect, response_of
from ._multiplexed import HTTP2TestCase


def begun(request: Request) -> int:
    """A handler that writes the first part, and no more."""
    request.write(b"begun")
    return NOT_DONE_YET


class TruncatedLooksTruncatedTests(HTTP2TestCase):
    """Whatever cancelweb breaks off ends with RST_STREAM and INTERNAL_ERROR."""

    def assert_broken_off(self, stream: Stream) -> None:
        """The stream is reset as after an error, and Twisted has forgotten it."""
        self.settle()
        self.assertEqual(self.body(stream), (b"begun", False))
        self.assertEqual(stream.error_code, ErrorCodes.INTERNAL_ERROR)
        self.assertEqual(self.server_side.streams, {})
        self.assertEqual(len(self.outcomes), 1)

    def test_deadline(self) -> None:
        """A deadline breaks off a response that has begun."""
        self.connect(begun, total_timeout=1)
        stream = self.get()
        self.clock.advance(1)
        self.assert_broken_off(stream)

    def test_own_cause(self) -> None:
        """A cause of the user's own breaks off a response that has begun."""
        scopes: list[Any] = []

        def handler(request: Request) -> int:
            scopes.append(current_scope())
            return begun(request)

        self.connect(handler)
        stream = self.get()
        scopes[0].cancel(Cause())
        self.assert_broken_off(stream)

    def test_drain(self) -> None:
        """The end of a drain breaks off a response that has begun."""
        monitor = Monitor(self.clock)
        wrapped: Any = CancellingResource(
            Page(begun), monitor=monitor, observers=self.outcomes.append
        )
        self.open(wrapped)
        stream = self.get()
        monitor.drain(0)
        self.assert_broken_off(stream)

    def test_failure(self) -> None:
        """A failure of the handler breaks off a response that has begun."""

        async def failing(request: Request) -> None:
            request.write(b"begun")
            await self.next_step
            raise ValueError

        self.connect(failing)
        stream = self.get()
        self.next_step.callback(None)
        self.assert_broken_off(stream)
        self.logged_error(ValueError)

    def test_a_client_that_reads_no_more(self) -> None:
        """Where a reset cannot be buffered for a client that reads nothing, the connection ends."""
        self.connect(begun, total_timeout=1)
        stream = self.get()
        self.connection.pause(full=True)
        self.patch(self.server_side, "_maxBufferedControlFrameBytes", 1)
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertTrue(self.connection.is_aborted)
        self.assertEqual((response_of(stream).is_complete, len(self.outcomes)), (False, 1))
        self.flushLoggedErrors()


class OverHTTP1Tests(SynchronousTestCase):
    """Responses over HTTP/1.1 that are broken off: their connection is closed."""

    def test_without_a_transport(self) -> None:
        """The connection of a request that does not show its transport is closed, too."""
        outcomes: list[Outcome] = []

        def handler(request: Any) -> int:
            self.patch(request, "transport", None)
            return begun(request)

        decorate: Any = cancel_on_disconnect(total_timeout=1, observers=outcomes.append)
        connection = connect(Page(decorate(handler)))
        connection.get()
        connection.client.clock.advance(1)
        for _ in range(2):
            connection.client.clock.advance(0)
        self.assertTrue(connection.is_closed)
        self.assertFalse(connection.response.is_complete)
        self.assertEqual([type(each.cause) for each in outcomes], [TimedOut])


class CurlTests(TestCase):
    """What curl makes of a response over TLS and HTTP/2 that is broken off."""

    timeout = 60

    async def test_exit_status(self) -> None:
        """When a response is broken off, curl exits with 92; a reset without error would be a 0."""
        curl = which("curl")
        if curl is None:
            self.skipTest("curl is not installed: apt-get install curl")
        told: Deferred[Outcome] = Deferred()
        root = CancellingResource(Page(begun), total_timeout=0.3, observers=told.callback)
        certificate = SelfSigned.make(Path(self.mktemp()).resolve())
        port: Any = await serverFromString(reactor, certificate.listen()).listen(Site(root))
        self.addCleanup(port.stopListening)
        url = f"https://{LOOPBACK}:{port.getHost().port}/"
        out, err, status = await getProcessOutputAndValue(
            curl, ["-sS", "--http2", "--insecure", "--max-time", "20", url]
        )
        self.assertEqual((out, status), (b"begun", 92), err)
        await told

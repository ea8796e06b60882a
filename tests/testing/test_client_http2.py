"""The public client over HTTP/2, in memory; in `test_client_and_tls` real connections agree."""

import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.static import File

from cancelweb import Ended, cancel_on_disconnect
from cancelweb.testing import Client, assert_stopped

from .._scopes import Leaf
from ._kit import echo


class StreamTests(SynchronousTestCase):
    """Streams in memory."""

    def setUp(self) -> None:
        """Connect to a handler that waits."""
        self.asked: list[Deferred[bytes]] = []

        def wait(request: Request) -> Deferred[bytes]:
            self.asked.append(Deferred(lambda _: None))
            return self.asked[-1]

        self.connection = Client(Leaf(cancel_on_disconnect(wait))).connect_http2()

    def test_answers(self) -> None:
        """Streams have a code, headers and a body."""
        connection = Client(Leaf(echo)).connect_http2()
        got, posted = connection.get(b"/a", {b"x-mine": b"1"}), connection.post(b"/b", b"body")
        got.advance(0)
        for stream, body in (got, b"GET /a "), (posted, b"POST /b body"):
            assert stream.response is not None and stream.request is not None
            self.assertEqual((stream.response.code, stream.response.body), (200, body))
            length = stream.response.headers.getRawHeaders(b"content-length")
            self.assertEqual(length, [b"%d" % len(body)])
            self.assertTrue(stream.is_over)
        self.assertEqual(got.request and got.request.getHeader(b"x-mine"), b"1")

    def test_large_body(self) -> None:
        """A body larger than a frame and all windows is sent as the server takes it."""
        connection = Client(Leaf(echo)).connect_http2()
        stream = connection.post(b"/", b"x" * 200_000)
        for _ in range(20):
            stream.advance(0)
        assert stream.response is not None
        self.assertEqual(stream.response.body, b"POST / " + b"x" * 200_000)

    def test_large_body_of_one_that_leaves(self) -> None:
        """Of a stream that was reset no more of the body is sent; of the next, all."""
        self.connection._transport.pauseProducing()
        leaver, stayer = (self.connection.post(b"/", b"x" * 200_000) for _ in range(2))
        leaver.reset()
        self.connection._transport.resumeProducing()
        for _ in range(20):
            stayer.advance(0)
        self.assertEqual((len(leaver.unsent) > 0, stayer.unsent), (True, b""))
        self.assertEqual(len(self.asked), 1)

    def test_large_body_to_one_that_closes(self) -> None:
        """A server that ends the connection is sent no more of a body."""
        clock = Clock()
        site = Site(Leaf(echo), reactor=clock, timeout=60)
        connection = Client(site).connect_http2()
        connection._transport.pauseProducing()
        stream = connection.post(b"/", b"x" * 200_000)
        clock.pump([61, 0, 20])
        self.assertTrue(connection.is_closed)
        self.assertIsNone(stream.response)

    def test_strings(self) -> None:
        """A path that is not bytes is refused."""
        path: Any = "/"
        error = self.assertRaises(TypeError, self.connection.get, path)
        self.assertIn("path must be bytes, not '/'", str(error))

    def test_reset(self) -> None:
        """A stream that is reset stops its handler, and no other."""
        leaver, stayer = self.connection.get(b"/1"), self.connection.get(b"/2")
        leaver.reset()
        leaver.reset()
        assert_stopped(leaver)
        self.assertTrue(leaver.is_over)
        self.assertIsNone(stayer.outcome)
        self.asked[1].callback(b"answer")
        stayer.advance(0)
        assert stayer.response is not None and stayer.outcome is not None
        self.assertEqual(stayer.response.body, b"answer")
        self.assertIs(stayer.outcome.ended, Ended.COMPLETED)

    def test_disconnect(self) -> None:
        """A connection that is closed takes all its streams along."""
        streams = [self.connection.get(), self.connection.get()]
        self.assertFalse(self.connection.is_closed)
        streams[0].disconnect()
        self.assertTrue(self.connection.is_closed)
        for stream in streams:
            assert_stopped(stream)
            self.assertIsNone(stream.response)

    def test_reset_by_the_server(self) -> None:
        """A response that the server breaks off is over, and not complete."""

        def begin(request: Request) -> Deferred[bytes]:
            request.write(b"some")
            return Deferred()

        connection = Client(Leaf(cancel_on_disconnect(total_timeout=3)(begin))).connect_http2()
        stream = connection.get()
        stream.advance(3)
        stream.advance(0)
        assert stream.response is not None
        self.assertEqual((stream.response.body, stream.was_reset), (b"some", True))
        self.assertFalse(stream.response.is_complete)

    def test_file(self) -> None:
        """A file larger than all windows comes whole."""
        path = Path(self.mktemp())
        path.write_bytes(b"x" * 300_000)
        page = File(str(path))
        page.isLeaf = True
        stream = Client(page).connect_http2().get()
        for _ in range(20):
            stream.advance(0)
        assert stream.response is not None
        self.assertEqual(len(stream.response.body), 300_000)
        self.assertTrue(stream.response.is_complete)

    def test_closed_by_the_server(self) -> None:
        """A server that ends the connection, as Twisted does when it is idle, closes it."""
        clock = Clock()
        site = Site(Resource(), reactor=clock, timeout=60)
        connection = Client(site).connect_http2()
        clock.pump([61, 0, 20])
        self.assertTrue(connection.is_closed)

    def test_extra(self) -> None:
        """Without the extra, the error names it."""
        client = Client(Resource())
        hidden = {"h2": None, "h2.config": None, "cancelweb.testing._http2": None}
        with patch.dict(sys.modules, hidden):
            error = self.assertRaises(ImportError, client.connect_http2)
        self.assertIn("cancelweb[http2]", str(error))

"""The public client over HTTP/2, in memory; in `test_client_and_tls` real connections agree."""

import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from h2.errors import ErrorCodes
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.static import File

from cancelweb import Ended, cancel_on_disconnect, testing
from cancelweb.testing import Client, assert_stopped

from .._frames import frames
from .._pages import Page
from .._visits import response_of
from ._kit import body_of, echo


class StreamTests(SynchronousTestCase):
    """Streams in memory."""

    def setUp(self) -> None:
        """Connect to a handler that waits."""
        self.asked: list[Deferred[bytes]] = []

        def wait(request: Request) -> Deferred[bytes]:
            self.asked.append(Deferred(lambda _: None))
            return self.asked[-1]

        self.connection = Client(Page(cancel_on_disconnect(wait))).connect_http2()

    def test_answers(self) -> None:
        """Streams have a code, headers and a body."""
        connection = Client(Page(echo)).connect_http2()
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
        connection = Client(Page(echo)).connect_http2()
        stream = connection.post(b"/", b"x" * 200_000)
        for _ in range(20):
            stream.advance(0)
        assert stream.response is not None
        self.assertEqual(stream.response.body, b"POST / " + b"x" * 200_000)

    def test_large_body_of_one_that_leaves(self) -> None:
        """A stream that is reset sends no more of its body; the next stream sends all."""
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
        site = Site(Page(echo), reactor=clock, timeout=60)
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

    def test_rest_of_a_body(self) -> None:
        """A body can be sent in parts, and ends as its length says."""
        stream = (
            Client(Page(echo))
            .connect_http2()
            .request(b"POST", headers={b"Content-Length": b"6"}, body=b"abc")
        )
        self.assertEqual((stream.response, stream.left), (None, 3))
        stream.send(b"def")
        stream.advance(0)
        self.assertEqual(body_of(stream), b"POST / abcdef")

    def test_more_than_was_announced(self) -> None:
        """A body may be as long as announced and no longer, and is not sent after a reset."""
        connection = Client(Page(echo)).connect_http2()
        headers = {b"Content-Length": b"2"}
        stream = connection.request(b"POST", headers=headers, body=b"a")
        error = self.assertRaises(ValueError, stream.send, b"bc")
        self.assertIn("b'bc' is more than the Content-Length of POST / has announced", str(error))
        stream.send(b"b")
        self.assertRaises(ValueError, stream.send, b"c")
        left = connection.request(b"POST", headers=headers, body=b"a")
        left.reset()
        left.send(b"too late")
        stream.advance(0)
        self.assertEqual((body_of(stream), left.unsent), (b"POST / ab", b""))
        self.assertEqual(response_of(stream).version, b"")
        wrong = {b"Content-Length": b"many"}
        self.assertRaises(ValueError, connection.request, b"POST", headers=wrong)
        error = self.assertRaises(ValueError, connection.request, b"GET", b"")
        self.assertEqual(str(error), "path must not be empty over HTTP/2. Pass b'/'.")

    def test_disconnect_in_one_read(self) -> None:
        """A client that disconnects sends what it has gathered first."""
        with self.connection.in_one_read():
            with self.connection.in_one_read():
                stream = self.connection.get()
            self.assertIsNone(stream.request)
            self.connection.disconnect()
        self.assertIsNotNone(stream.request)
        assert_stopped(stream)

    def test_goodbye_before_more(self) -> None:
        """GOAWAY is sent before what the client sends after it."""
        sent: list[bytes] = []
        self.patch(self.connection._transport, "deliver", sent.append)
        with self.connection.in_one_read():
            self.connection.go_away()
            self.connection.get()
        self.assertEqual(list(frames(b"".join(sent))), ["GoAwayFrame", "HeadersFrame"])

    def test_in_one_read(self) -> None:
        """A stream that is opened and reset in one read is dead before its handler is called."""
        with self.connection.in_one_read():
            stream = self.connection.get()
            stream.reset()
            self.assertIsNone(stream.request)
        self.assertIsNotNone(stream.request)
        self.assertEqual(self.asked, [])

    def test_go_away(self) -> None:
        """A client that sends GOAWAY has its handlers stopped, as Twisted drops its streams."""
        stream = self.connection.get()
        self.connection.go_away()
        assert_stopped(stream)

    def test_pause(self) -> None:
        """A client that does not read is sent nothing once its buffers are full."""
        connection = Client(Page(echo)).connect_http2()
        connection.pause(full=True)
        stream = connection.get()
        stream.advance(0)
        self.assertEqual((stream.response, connection._transport._tempDataLen), (None, 0))
        connection.resume()
        stream.advance(0)
        self.assertEqual(body_of(stream), b"GET / ")

    def test_disconnect(self) -> None:
        """A client that closes its connection has the handlers of all its streams stopped."""
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

        connection = Client(Page(cancel_on_disconnect(total_timeout=3)(begin))).connect_http2()
        stream = connection.get()
        stream.advance(3)
        stream.advance(0)
        assert stream.response is not None
        self.assertEqual((stream.response.body, stream.was_reset), (b"some", True))
        self.assertEqual(stream.error_code, ErrorCodes.INTERNAL_ERROR)
        self.assertFalse(stream.response.is_complete)

    def test_reset_by_the_server_at_once(self) -> None:
        """A stream tells that the server has reset it without time having to pass."""
        for name, expected in ("was_reset", True), ("error_code", ErrorCodes.NO_ERROR):
            stream: Any = self.connection.get()
            self.assertEqual((stream.was_reset, stream.error_code), (False, None))
            stream.request.channel.abortConnection()
            self.assertEqual(getattr(stream, name), expected)

    def test_received(self) -> None:
        """The bytes that a client has read are the frames that the server sent."""
        self.connection.get()
        self.asked[0].callback(b"answer")
        self.connection.client.clock.advance(0)
        names = list(frames(self.connection.received))
        self.assertEqual(names[0], "SettingsFrame")
        self.assertEqual(names[-3:], ["HeadersFrame", "DataFrame", "DataFrame"])

    def test_received_by_a_paused_client(self) -> None:
        """A client that does not read has received nothing until it reads on."""
        before = self.connection.received
        self.connection.pause()
        stream = self.connection.get()
        self.asked[0].callback(b"answer")
        stream.advance(0)
        self.assertEqual(self.connection.received, before)
        self.connection.resume()
        self.assertIn(b"answer", self.connection.received)

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
        """A connection that Twisted ends because it is idle is closed."""
        clock = Clock()
        site = Site(Resource(), reactor=clock, timeout=60)
        connection = Client(site).connect_http2()
        clock.pump([61, 0, 20])
        self.assertTrue(connection.is_closed)
        self.assertFalse(connection.is_aborted)

    def test_aborted_by_the_server(self) -> None:
        """A server aborts an idle connection whose client reads nothing."""
        clock = Clock()
        connection = Client(Site(Resource(), reactor=clock, timeout=60)).connect_http2()
        connection.pause()
        clock.pump([61, 0, 20])
        self.assertTrue(connection.is_aborted)
        self.assertTrue(connection.is_closed)

    def test_extra(self) -> None:
        """Without the extra `http2`, the error of `connect_http2` names it."""
        client = Client(Resource())
        hidden = {"h2": None, "h2.config": None, "cancelweb.testing._http2": None}
        with patch.dict(sys.modules, hidden):
            for needing in client.connect_http2, lambda: testing.HTTP2Connection:
                error = self.assertRaises(ImportError, needing)
                self.assertIn("cancelweb[http2]", str(error))

    def test_names(self) -> None:
        """The class of the connections is a name of the kit; a name that it has not is an error."""
        self.assertIsInstance(self.connection, testing.HTTP2Connection)
        error = self.assertRaises(AttributeError, getattr, testing, "HTTP3Connection")
        self.assertEqual(
            str(error), "module 'cancelweb.testing' has no attribute 'HTTP3Connection'"
        )

"""Producers that are pulled, over HTTP/2: Twisted pulls them by the reactor.

What belongs here: that the producer of a stream which was reset is pulled no more. What does not:
all else over HTTP/2, which needs but a clock.
"""

from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import NOT_DONE_YET
from twisted.web.static import File

from cancelweb import CancellingResource, cancel_on_disconnect
from cancelweb.monitor import Monitor

from .._pages import GetPage
from .._visits import connect_http2, response_of

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class Pulled:
    """A producer that is asked for each byte."""

    request: Any = None
    pulls = 0
    is_stopped = False

    def resumeProducing(self) -> None:
        self.pulls += 1
        self.request.write(b"x")

    def stopProducing(self) -> None:
        self.is_stopped = True


async def turns() -> None:
    """Let the reactor have some turns: Twisted pulls by it, whatever clock it is given."""
    for _ in range(10):
        await deferLater(reactor, 0.001)


class PullingTests(TestCase):
    """Streams that are reset while their producer is pulled."""

    async def test_pull_producer(self) -> None:
        """The producer of a stream that is reset is pulled no more, and is stopped."""
        producer = Pulled()

        def handler(request: Any) -> int:
            producer.request = request
            request.registerProducer(producer, False)
            return NOT_DONE_YET

        decorate: Any = cancel_on_disconnect(observers=())
        stream = connect_http2(GetPage(decorate(handler))).get()
        await turns()
        self.assertGreater(producer.pulls, 0)
        stream.reset()
        before = producer.pulls
        await turns()
        self.assertEqual(producer.pulls, before)
        self.assertTrue(producer.is_stopped)

    async def test_error_page_that_is_broken_off(self) -> None:
        """The producer of an error page is stopped when that is broken off."""
        producers: list[Silent] = []

        def half(request: Any, _: object) -> Any:
            request.write(b"half a page")
            producers.append(Silent())
            request.registerProducer(producers[-1], False)
            return NOT_DONE_YET

        clock, page = Clock(), GetPage(lambda _: NOT_DONE_YET)
        monitor = Monitor(clock)
        pages: Any = CancellingResource(
            page, timeout=1, error_page=half, monitor=monitor, observers=()
        )
        connection = connect_http2(pages, clock)
        for turned_away in (False, True):
            if turned_away:
                monitor.drain(0)
            stream = connection.get()
            clock.advance(1)
            clock.advance(1)
            response = response_of(stream)
            self.assertEqual((response.body, response.is_complete), (b"half a page", False))
            self.assertTrue(stream.was_reset)
            before = producers[-1].pulls
            await turns()
            self.assertEqual((producers[-1].pulls, producers[-1].stops), (before, 1))
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)


class Silent:
    """A producer that has nothing to give."""

    pulls = stops = 0

    def resumeProducing(self) -> None:
        self.pulls += 1

    def stopProducing(self) -> None:
        self.stops += 1


class WatchedFile(File):
    """A file that shows what it has opened."""

    isLeaf = True

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.opened: list[Any] = []

    def openForReading(self) -> Any:
        """Note what is opened."""
        self.opened.append(super().openForReading())
        return self.opened[-1]


class FileTests(TestCase):
    """Responses of `static.File`, which Twisted alone leaves open when their client is gone."""

    def setUp(self) -> None:
        """A file of some size."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"x" * 1_000_000)
        self.file = WatchedFile(path)
        wrapped: Any = CancellingResource(self.file, observers=())
        self.connection = connect_http2(wrapped)

    def ask(self) -> Any:
        """Ask for the file, and read nothing yet; returns what the server has open."""
        self.stream = self.connection.get()
        self.connection.client.clock.advance(0)
        self.addCleanup(lambda: Deferred.fromCoroutine(turns()))
        (opened,) = self.file.opened
        self.assertFalse(opened.closed)
        return opened

    def test_reset(self) -> None:
        """A file is closed when the stream on which it is sent is reset."""
        opened = self.ask()
        self.stream.reset()
        self.assertTrue(opened.closed)

    def test_lost(self) -> None:
        """A file is closed when the connection on which it is sent is lost."""
        opened = self.ask()
        self.connection.disconnect()
        self.assertTrue(opened.closed)

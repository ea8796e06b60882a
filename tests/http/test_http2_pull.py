"""Producers that are pulled, over HTTP/2: Twisted asks them for more by the reactor.

What belongs here: that a stream which was reset is asked no longer. What does not: all else
over HTTP/2, which needs but a clock.
"""

from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import File

from cancelweb import CancellingResource, cancel_on_disconnect
from cancelweb.monitor import Monitor

from .._http2 import HTTP2Client
from .._inmemory import H2Connection
from .._pages import GetPage

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
    """A reset stream whose producer is pulled, which Twisted does by the reactor."""

    async def test_pull_producer(self) -> None:
        """A producer that waits to be asked for more is asked no longer, and is stopped."""
        producer = Pulled()

        def handler(request: Any) -> int:
            producer.request = request
            request.registerProducer(producer, False)
            return NOT_DONE_YET

        clock, client = Clock(), HTTP2Client()
        decorate: Any = cancel_on_disconnect(observers=())
        connection = H2Connection(Site(GetPage(decorate(handler)), reactor=clock), clock, client)
        stream = client.get("/")
        connection.pump()
        await turns()
        self.assertGreater(producer.pulls, 0)
        client.reset(stream)
        connection.pump()
        before = producer.pulls
        await turns()
        self.assertEqual(producer.pulls, before)
        self.assertTrue(producer.is_stopped)

    async def test_error_page_that_is_broken_off(self) -> None:
        """That of an error page is stopped with the response, which is broken off."""
        producers: list[Silent] = []

        def half(request: Any, _: object) -> Any:
            request.write(b"half a page")
            producers.append(Silent())
            request.registerProducer(producers[-1], False)
            return NOT_DONE_YET

        clock, client, page = Clock(), HTTP2Client(), GetPage(lambda _: NOT_DONE_YET)
        monitor = Monitor(clock)
        pages: Any = CancellingResource(
            page, timeout=1, error_page=half, monitor=monitor, observers=()
        )
        connection = H2Connection(Site(pages, reactor=clock), clock, client)
        for turned_away in (False, True):
            if turned_away:
                monitor.is_draining = True
            stream = client.get("/")
            connection.pump()
            clock.advance(1)
            clock.advance(1)
            connection.pump()
            self.assertEqual((stream.body, stream.ended), (b"half a page", False))
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
    """`static.File`, which is pulled: Twisted alone leaves it open until it is collected."""

    def setUp(self) -> None:
        """A file of some size."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"x" * 1_000_000)
        self.file = WatchedFile(path)
        self.client = HTTP2Client()
        clock = Clock()
        site = Site(CancellingResource(self.file, observers=()), reactor=clock)
        self.connection = H2Connection(site, clock, self.client)

    def ask(self) -> Any:
        """Ask for the file, of which nothing is read yet; returns what the server has open."""
        self.stream = self.client.get("/")
        self.connection.pump()
        self.addCleanup(lambda: Deferred.fromCoroutine(turns()))
        (opened,) = self.file.opened
        self.assertFalse(opened.closed)
        return opened

    def test_reset(self) -> None:
        """It is closed when its stream is reset."""
        opened = self.ask()
        self.client.reset(self.stream)
        self.connection.pump()
        self.assertTrue(opened.closed)

    def test_lost(self) -> None:
        """It is closed when the connection is lost."""
        opened = self.ask()
        self.connection.disconnect()
        self.assertTrue(opened.closed)

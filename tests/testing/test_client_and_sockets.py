"""The public client in memory and real sockets agree: the same scenarios, run both ways.

What belongs here: scenarios, each a story of what a handler sees and what its client gets. They
are told in bytes, so that nothing but the connection differs; one parser reads what has come.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Outcome, cancel_on_disconnect
from cancelweb.testing import Response
from cancelweb.testing._responses import parse

from ._kit import Source
from ._ways import GET, MEGABYTE, InMemory, Notes, OverSockets, Way

Story = Callable[[Way], Awaitable[object]]


def heard(request: Request, notes: Notes) -> None:
    """Note how the request ends."""

    def lost(failure: Failure) -> None:
        notes.add(f"lost: {type(failure.value).__name__}")

    request.notifyFinish().addCallbacks(lambda _: notes.add("finished"), lost)


def waiting(request: Request, notes: Notes) -> int:
    """A plain handler that waits."""
    notes.add("asked")
    heard(request, notes)
    return NOT_DONE_YET


def decorated(request: Request, notes: Notes) -> Any:
    """A decorated handler that waits."""
    notes.add("asked")

    def tell(outcome: Outcome) -> None:
        notes.add(f"{outcome.ended.name}: {outcome.cause}")

    async def wait(request: Request) -> bytes:
        try:
            await Deferred()
        finally:
            notes.add("stopped")
        return b""

    return cancel_on_disconnect(observers=tell)(wait)(request)


def responses(data: bytes, count: int = 1) -> list[Response]:
    """The answers, as the client in memory reads them."""
    return parse(data, [b"GET"] * count, at_end=True)[0]


class AgreementTests(TestCase):
    """What the client in memory shows is what happens over a socket."""

    timeout = 60

    async def both(self, handler: Callable[[Request, Notes], Any], story: Story) -> Any:
        """Play a story both ways, check that the results are equal, and return them."""
        results = []
        for kind in InMemory, OverSockets:
            way = kind(handler)
            await way.start()
            try:
                results.append((await story(way), list(way.notes.lines)))
            finally:
                if isinstance(way, OverSockets):
                    await way.stop()
        self.assertEqual(results[0], results[1])
        return results[0]

    async def test_client_closes(self) -> None:
        """A client that closes its connection is reported to the handler as ConnectionDone."""

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.leave()
            await way.notes.until(2)

        _, notes = await self.both(waiting, story)
        self.assertEqual(notes, ["asked", "lost: ConnectionDone"])

    async def test_client_resets(self) -> None:
        """A client that resets its connection is reported to the handler as ConnectionLost."""

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.leave(is_reset=True)
            await way.notes.until(2)

        _, notes = await self.both(waiting, story)
        self.assertEqual(notes, ["asked", "lost: ConnectionLost"])

    async def test_decorated(self) -> None:
        """A decorated handler is stopped because its client disconnected."""

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.leave()
            await way.notes.until(3)

        _, notes = await self.both(decorated, story)
        self.assertEqual(notes[1], "stopped")
        self.assertIn("STOPPED: the client disconnected", notes[2])

    async def test_answers(self) -> None:
        """Whole, chunked and error responses follow each other on one connection."""

        def handler(request: Request, notes: Notes) -> Any:
            notes.add("asked")
            heard(request, notes)
            if len(notes.lines) == 1:
                return b"whole"
            if len(notes.lines) < 4:
                request.write(b"in ")
                request.write(b"parts")
                request.finish()
                return NOT_DONE_YET
            request.setResponseCode(404)
            return b"gone"

        async def story(way: Way) -> list[Response]:
            way.send(GET)
            await way.received(b"whole")
            way.send(GET)
            await way.received(b"0\r\n\r\n")
            way.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            return responses(await way.closed(), 3)

        answers, _ = await self.both(handler, story)
        self.assertEqual([each.body for each in answers], [b"whole", b"in parts", b"gone"])

    async def test_posted_in_parts(self) -> None:
        """A handler is called when the last part of a body has come, and reads the body whole."""

        def handler(request: Request, notes: Notes) -> bytes:
            content: Any = request.content
            body: bytes = content.read()
            notes.add(body.decode())
            return body

        async def story(way: Way) -> list[Response]:
            way.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
            await way.fence()
            way.notes.add("then")
            way.send(b"def")
            return responses(await way.received(b"abcdef"))

        _, notes = await self.both(handler, story)
        self.assertEqual(notes, ["then", "abcdef"])

    async def test_leaves_amid_a_post(self) -> None:
        """The handler is not called if its client leaves in the middle of the body."""

        async def story(way: Way) -> None:
            way.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
            await way.fence()
            way.leave()
            await way.fence()

        self.assertEqual(await self.both(waiting, story), (None, []))

    async def test_pipelined(self) -> None:
        """Only the first of two pipelined requests is handled, and lost when the client leaves."""

        async def story(way: Way) -> None:
            way.send(GET + GET)
            await way.fence()
            way.leave()
            await way.fence()

        _, notes = await self.both(waiting, story)
        self.assertEqual(notes, ["asked", "lost: ConnectionDone"])

    async def test_hidden_by_pipelined_bytes(self) -> None:
        """A client that leaves with more than 16 KiB sent behind its request is not noticed."""

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.send(b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000)
            await way.fence()
            way.leave()
            await way.fence()

        self.assertEqual(await self.both(waiting, story), (None, ["asked"]))

    async def test_aborted_by_the_server(self) -> None:
        """What a handler writes before it aborts the connection comes, and its request is lost."""

        def handler(request: Request, notes: Notes) -> int:
            heard(request, notes)
            request.write(b"some")
            notes.add("asked")
            requests.append(request)
            return NOT_DONE_YET

        requests: list[Request] = []

        async def story(way: Way) -> bytes:
            way.send(GET)
            data = await way.received(b"some\r\n")
            transport: Any = requests.pop().transport
            transport.abortConnection()
            await way.closed()
            return data.partition(b"\r\n\r\n")[2]

        answer, notes = await self.both(handler, story)
        self.assertEqual(answer, b"4\r\nsome\r\n")
        self.assertEqual(notes, ["asked", "lost: ConnectionAborted"])

    async def test_producer_of_a_client_that_leaves(self) -> None:
        """A producer is stopped before its request learns that the client has left."""
        _, notes = await self.both(producing, leaving_after_one)
        self.assertEqual(notes, ["asked", "stop", "lost: ConnectionDone"])

    async def test_producer_of_a_client_that_does_not_read(self) -> None:
        """A producer is paused while its client does not read, and resumed when it does."""
        sources: list[Any] = []

        def handler(request: Request, notes: Notes) -> int:
            sources.append(request)
            return producing(request, notes)

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.read(False)
            request = sources.pop()
            for _ in range(64):
                if "pause" not in way.notes.lines:
                    request.write(MEGABYTE)
            await way.notes.until(2)
            way.read(True)
            await way.received(MEGABYTE[-100:] + b"\r\n")
            await way.fence()

        _, notes = await self.both(handler, story)
        self.assertEqual(notes[:3], ["asked", "pause", "resume"])

    async def test_writing_to_a_client_that_has_left(self) -> None:
        """Writing to a client that has left does nothing, and finishing raises a RuntimeError."""
        requests: list[Request] = []

        def handler(request: Request, notes: Notes) -> int:
            requests.append(request)
            return waiting(request, notes)

        async def story(way: Way) -> None:
            way.send(GET)
            await way.notes.until(1)
            way.leave()
            await way.notes.until(2)
            request = requests.pop()
            request.write(b"hello?")
            way.notes.add(type(self.assertRaises(RuntimeError, request.finish)).__name__)

        _, notes = await self.both(handler, story)
        self.assertEqual(notes, ["asked", "lost: ConnectionDone", "RuntimeError"])

    async def test_refused(self) -> None:
        """Bytes that are not HTTP are answered 400, and the connection is closed."""

        async def story(way: Way) -> bytes:
            way.send(b"nonsense\r\n\r\n")
            return await way.closed()

        answer, notes = await self.both(waiting, story)
        self.assertEqual((answer, notes), (b"HTTP/1.1 400 Bad Request\r\n\r\n", []))


def producing(request: Request, notes: Notes) -> int:
    """A handler with a producer."""
    notes.add("asked")
    heard(request, notes)
    request.registerProducer(Source(notes.add), True)
    return NOT_DONE_YET


async def leaving_after_one(way: Way) -> None:
    """Ask, and leave when the handler has been called."""
    way.send(GET)
    await way.notes.until(1)
    way.leave()
    await way.notes.until(3)

"""The sweep finds what other clients notice of a client that leaves."""

from collections.abc import Generator
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredSemaphore,
    fail,
    inlineCallbacks,
)
from twisted.internet.task import Clock, deferLater
from twisted.web.server import Request

from cancelweb import cancel_on_disconnect
from cancelweb.testing import sweep

from .._pages import Page
from ._sweeps import SweepTestCase, resource, sleep


class OthersTests(SweepTestCase):
    """What other clients notice of a client that leaves."""

    def test_forced_lock(self) -> None:
        """A semaphore gets back what a forced await or yield had acquired when it was cancelled."""

        def make(clock: Clock) -> Page:
            semaphore = DeferredSemaphore(1)

            async def handler(request: Request) -> bytes:
                async with semaphore:
                    await sleep(clock)
                return b""

            def generator(request: Request) -> Generator[Any, Any, bytes]:
                yield semaphore.acquire()
                try:
                    yield sleep(clock)
                finally:
                    semaphore.release()
                return b""

            handlers: dict[bytes, Any] = {b"/a": handler, b"/g": inlineCallbacks(generator)}
            decorate: Any = cancel_on_disconnect
            return Page(decorate(lambda request: handlers[request.uri](request)))

        for path in b"/a", b"/g":
            self.assertTrue(any(each.is_forced for each in sweep(make, path).points))

    def test_forced_failure(self) -> None:
        """A failure whose forced await is cancelled is not reported as an unhandled error."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                await fail(ValueError())
            except ValueError:
                return b"handled"
            return b""

        report = sweep(resource(handler), beside=False)
        self.assertEqual([each.is_forced for each in report.points], [True])

    def test_awaiting_one_deferred_twice(self) -> None:
        """A second client that awaits a Deferred in vain is reported, even if no client left."""

        def make(clock: Clock) -> Page:
            shared: list[Deferred[bytes]] = []

            async def handler(request: Request) -> bytes:
                if not shared:
                    shared.append(deferLater(clock, 1, lambda: b"rate"))
                try:
                    return await shared[0]
                finally:
                    shared.clear()

            return Page(cancel_on_disconnect(handler))

        report = self.failed(make)
        text = "wrong answer: another client got 200 with b'' instead of b'rate'"
        self.assertIn(f"the client stayed:\n        {text}", str(report))

    def test_answers_that_differ_anyway(self) -> None:
        """Other clients that never get the same body are compared by status only."""

        def make(clock: Clock) -> Page:
            count = iter(range(100))

            async def handler(request: Request) -> bytes:
                await sleep(clock)
                return b"%d" % next(count)

            return Page(cancel_on_disconnect(handler))

        sweep(make)

    def test_long_bodies(self) -> None:
        """A finding shows only the beginning of a long body."""

        def make(clock: Clock) -> Page:
            lost: list[object] = []

            async def handler(request: Request) -> bytes:
                try:
                    await sleep(clock)
                except CancelledError:
                    lost.append(request)
                    raise
                return b"y" * 50 if lost else b"x" * 50

            return Page(cancel_on_disconnect(handler))

        (finding,) = self.findings(make)
        self.assertIn(f"b'{'y' * 37}...' instead of b'{'x' * 37}...'", finding)

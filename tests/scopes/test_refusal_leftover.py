"""Nothing starts for a response that is finished: leftover work that was asked to stop.

What belongs here: work beside a response. What does not: requests that were cancelled, which have
`test_refusal`.
"""

import contextlib
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.web.server import NOT_DONE_YET

from cancelweb import CancellingResource, ResponseFinished, StartRefused, cleaning, current_scope
from cancelweb.monitor import Monitor

from .._pages import NoHead, Page
from .._visits import connect
from ._cleanups import LOOPS, wait
from ._refusals import Base


class NothingStartsForAFinishedResponseTests(Base):
    """Leftover work that goes on, or tries again, is refused."""

    def test_every_loop_ends(self) -> None:
        """Leftover loops that catch Exception and try again end, and begin nothing."""
        for name in LOOPS:
            self.begun.clear()

            async def handler(request: object, name: str = name) -> bytes:
                current_scope().track(getattr(self.retries, name)(request))
                await self.pause()
                return b"done"

            visit = self.visit(handler)
            self.pass_time()
            self.assertEqual((name, self.begun, visit.response.body), (name, [], b"done"))
            self.assertEqual((name, len(visit.outcomes)), (name, 1))

    def test_what_it_says(self) -> None:
        """The refusal of leftover work carries ResponseFinished as its cause."""

        async def work() -> None:
            with contextlib.suppress(CancelledError):
                await wait()
            try:
                await self.update()
            except StartRefused as error:
                self.told.append(error.cause)

        def handler(_: object) -> bytes:
            current_scope().track(work())
            return b"done"

        self.visit(handler)
        self.pass_time()
        [cause] = self.told
        self.assertIsInstance(cause, ResponseFinished)

    def test_cleanup(self) -> None:
        """Cleanup of leftover work may begin more for `cleanup_timeout` seconds after its first."""

        async def work() -> None:
            try:
                await wait()
            finally:
                await self.update()
                with cleaning():
                    while True:
                        await self.update()

        def handler(_: object) -> bytes:
            current_scope().track(work())
            return b"done"

        visit = self.visit(handler, cleanup_timeout=1)
        self.pass_time(5)
        self.assertEqual((len(visit.outcomes), visit.response.body), (1, b"done"))
        self.assertGreater(len(self.begun), 5)
        self.assertLess(self.begun[-1], 1.5)

    def test_what_was_returned_goes_on(self) -> None:
        """Returned work is refused nothing, even in a callback that leftover work fires."""
        lock = DeferredLock()

        async def work() -> None:
            async with lock:
                await wait()

        def handler(request: Any) -> Deferred[Any]:
            current_scope().track(work())
            request.finish()
            return lock.run(self.update).addCallback(lambda _: NOT_DONE_YET)

        visit = self.visit(handler)
        self.pass_time()
        self.assertEqual((len(self.begun), len(visit.outcomes)), (1, 1))

    def test_under_a_faked_head(self) -> None:
        """Returned loops that are stopped under a faked HEAD are refused what they begin again."""
        for name in LOOPS:

            async def handler(request: Any, name: str = name) -> int:
                await getattr(self.retries, name)(request)
                return NOT_DONE_YET

            page = NoHead(handler)
            connection = connect(CancellingResource(page, clock=self.clock), self.clock)
            connection.request(b"HEAD")
            self.pass_time()
            self.assertEqual((name, self.begun), (name, []))

    def test_at_the_end_of_a_drain(self) -> None:
        """Returned work that a drain stops is refused, even in a callback that it fires itself."""

        async def handler(request: Any) -> Any:
            await self.pause()
            request.finish()
            event: Deferred[Any] = Deferred()
            event.addCallback(lambda _: self.update())
            with contextlib.suppress(CancelledError):
                await wait()
            event.callback(None)
            await event
            return NOT_DONE_YET

        monitor = Monitor()
        connection = connect(CancellingResource(Page(handler), monitor=monitor, clock=self.clock))
        connection.get()
        self.pass_time(0.1)
        monitor.drain(0)
        self.pass_time()
        self.assertEqual((self.begun, connection.response.code), ([], 200))

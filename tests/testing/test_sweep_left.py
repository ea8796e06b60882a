"""The sweep finds what a handler leaves behind when its client leaves."""

import os
import tempfile
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    ensureDeferred,
    fail,
    succeed,
)
from twisted.internet.task import Clock, LoopingCall
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import cancel_on_disconnect, current_scope
from cancelweb.testing import Problem, sweep

from .._pages import Page
from ._sweeps import SweepTestCase, plain, resource, sleep, two_waits


class LeftTests(SweepTestCase):
    """What a handler leaves behind."""

    def test_own_calls(self) -> None:
        """What the resource itself has on the clock is not reported as left behind."""

        def make(clock: Clock) -> Page:
            loop = LoopingCall(lambda: None)
            loop.clock = clock
            loop.start(0.3)
            return resource(two_waits)(clock)

        sweep(make)

    def test_own_work(self) -> None:
        """A coroutine that the resource or its timer starts is not reported, nor are its lines."""

        def make(clock: Clock) -> Page:
            async def poll() -> None:
                while True:
                    await succeed(None)
                    await sleep(clock, 0.4)

            async def tick() -> None:
                await sleep(clock, 0.3)

            def handler(request: Request) -> int:
                answer = sleep(clock).addCallback(lambda _: request.finish())
                request.notifyFinish().addErrback(lambda _: answer.cancel())
                answer.addErrback(lambda failure: failure.trap(CancelledError) and None)
                return NOT_DONE_YET

            loop = LoopingCall(lambda: ensureDeferred(tick()))
            loop.clock = clock
            loop.start(0.5)
            ensureDeferred(poll())
            return Page(handler)

        report = sweep(make)
        self.assertEqual(report.lines, frozenset())
        self.assertFalse(any(each.is_forced for each in report.points))

    def test_calls_of_completed_requests(self) -> None:
        """What a completed request leaves is not reported, such as the timer of a session."""

        async def handler(request: Request, clock: Clock) -> bytes:
            request.getSession()
            return await two_waits(request, clock)

        sweep(resource(handler))

    def test_file(self) -> None:
        """A temporary file of the handler is reported; one that was there before is not."""

        async def handler(request: Request, clock: Clock) -> bytes:
            handle, path = tempfile.mkstemp(prefix="mine")
            os.close(handle)
            await sleep(clock)
            os.unlink(path)
            return b""

        def make(clock: Clock) -> Page:
            tempfile.mkdtemp(prefix="own")
            return resource(handler)(clock)

        (finding,) = self.findings(make)
        self.assertRegex(finding, "left behind: a temporary file: mine")

    def test_open_scope(self) -> None:
        """A scope that does not close is reported as left behind."""

        async def hook(scope: object) -> None:
            await Deferred()

        make = resource(two_waits, on_cancel=hook, cleanup_timeout=100)
        findings = self.findings(make)
        self.assertRegex(findings[0], "left behind: <Scope of .* has not closed")

    def test_hooks_that_ran_twice(self) -> None:
        """Hooks of a scope that were run twice are reported."""

        async def handler(request: Request, clock: Clock) -> bytes:
            served: Any = request.__dict__["_cancelweb_served"]
            current_scope().on_cancel(lambda scope: served._count(scope))
            return await two_waits(request, clock)

        findings = self.findings(resource(handler))
        self.assertIn("hooks: the hooks ran 2 times", findings)

    def test_error(self) -> None:
        """A failure that is logged even if no client leaves is reported once, without a point."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                await sleep(clock)
            finally:
                fail(ValueError("unhandled"))
            return b""

        report = self.failed(resource(handler), beside=False)
        (finding,) = report.findings
        self.assertEqual((finding.problem, finding.point), (Problem.ERROR, None))
        self.assertIn("the client stayed:\n        error: ValueError: unhandled", str(report))

    def test_unhandled_error(self) -> None:
        """An unhandled error in a Deferred is reported as such, even if it has no text."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                await sleep(clock)
            finally:
                # Of the handler's own, so it is the handler's own cancel.
                Deferred[None]().cancel()
            return b""

        (finding,) = self.findings(resource(handler), max_points=1, endless=True)
        self.assertEqual(finding, "error: CancelledError (unhandled in a Deferred)")

    def test_disconnect_that_raises(self) -> None:
        """A producer that raises when it is stopped is reported."""

        class Failing:
            def stopProducing(self) -> None:
                raise ValueError("mine")

        def handler(request: Request, clock: Clock) -> int:
            request.registerProducer(Failing(), True)
            clock.callLater(1, lambda: (request.unregisterProducer(), request.finish()))
            return NOT_DONE_YET

        self.assertIn("error: ValueError: mine", self.findings(plain(handler)))

    def test_check(self) -> None:
        """A check is called with the resource, and its AssertionError is reported."""

        class Rows(Page):
            rows = 0

        def check(page: Rows) -> None:
            assert not page.rows, "a row is left"

        def make(clock: Clock) -> Rows:
            async def handler(request: Request) -> bytes:
                page.rows = 1
                await sleep(clock)
                page.rows = 0
                return b""

            page = Rows(cancel_on_disconnect(handler))
            return page

        (finding,) = self.findings(make, check=check)
        self.assertTrue(finding.startswith("check: a row is left"), finding)

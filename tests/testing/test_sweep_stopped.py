"""The sweep finds handlers that are not stopped when their client leaves."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    ensureDeferred,
    succeed,
)
from twisted.internet.task import Clock
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, current_scope, detach, shield
from cancelweb.testing import Problem, sweep

from .._pages import Page
from .._work import Errand
from ._sweeps import Handler, SweepTestCase, plain, resource, sleep, two_waits


class StoppedTests(SweepTestCase):
    """Handlers that do not stop."""

    def test_plain_handler_that_runs_on(self) -> None:
        """A coroutine that is not cancelled is reported as not stopped, and so is its error."""

        async def go(request: Request, clock: Clock) -> None:
            await sleep(clock)
            request.finish()

        def handler(request: Request, clock: Clock) -> int:
            ensureDeferred(go(request, clock))
            return NOT_DONE_YET

        first, second = self.findings(plain(handler))
        self.assertIn("not stopped: the handler still waits at test_sweep_stopped.py", first)
        self.assertIn("await sleep(clock)", first)
        self.assertIn("error: RuntimeError: Request.finish called", second)

    def test_plain_handler_that_stops(self) -> None:
        """A plain handler that cancels its own work passes."""

        def handler(request: Request, clock: Clock) -> int:
            work = ensureDeferred(two_waits(request, clock))
            work.addCallback(request.write).addCallback(lambda _: request.finish())
            request.notifyFinish().addErrback(lambda _: work.cancel())
            work.addErrback(lambda failure: failure.trap(CancelledError) and None)
            return NOT_DONE_YET

        self.assertEqual(len(sweep(plain(handler), beside=False).points), 2)

    def test_let_go(self) -> None:
        """A handler that awaits what nothing can stop is reported as let go, with the line."""

        async def handler(request: Request, clock: Clock) -> bytes:
            await succeed(None)
            held: Deferred[None] = Deferred()
            clock.callLater(1, held.callback, None)
            await held
            return b"page"

        [finding] = [each for each in self.findings(resource(handler)) if "let go" in each]
        self.assertIn("the work was let go, because nothing could stop it: ", finding)
        self.assertIn("await held", finding)

    def test_let_go_without_a_coroutine(self) -> None:
        """A Deferred that nothing can stop is reported as let go if a plain function returns it."""

        def handler(request: Request, clock: Clock) -> Deferred[bytes]:
            page: Deferred[bytes] = Deferred()
            clock.callLater(1, page.callback, b"page")
            return page

        first, _ = self.findings(resource(handler))
        self.assertIn("the work was let go, because nothing could stop it: a Deferred of ", first)

    def test_let_go_beside_what_was_stopped(self) -> None:
        """The tracked work that was let go is reported, and not the line that was stopped."""

        async def handler(request: Request, clock: Clock) -> bytes:
            tracked: Deferred[None] = Deferred()
            clock.callLater(1, tracked.callback, None)
            current_scope().track(tracked)
            await sleep(clock)
            return b"page"

        [finding] = [each for each in self.findings(resource(handler)) if "let go" in each]
        self.assertIn("the work was let go, because nothing could stop it: a Deferred of ", finding)
        self.assertNotIn("await sleep", finding.partition("let go")[2])

    def test_stopped_by_other_code(self) -> None:
        """A decorated handler passes that returns NOT_DONE_YET and cancels its own timer."""

        def handler(request: Request, clock: Clock) -> int:
            timer = clock.callLater(1, request.finish)
            request.notifyFinish().addErrback(lambda _: timer.cancel())
            return NOT_DONE_YET

        sweep(resource(handler))

    def test_plain_handler_that_is_forced_to_wait(self) -> None:
        """A plain handler that runs on from a forced wait is reported as not stopped."""

        async def go(request: Request, clock: Clock) -> None:
            await succeed(None)
            request.finish()

        def handler(request: Request, clock: Clock) -> int:
            ensureDeferred(go(request, clock))
            return NOT_DONE_YET

        report = self.failed(plain(handler))
        self.assertEqual([each.is_forced for each in report.points], [True])
        problems = [each.problem for each in report.findings]
        self.assertEqual(problems, [Problem.NOT_STOPPED, Problem.ERROR])

    def test_plain_timer(self) -> None:
        """A timer that a plain handler does not cancel is reported as left on the clock."""

        def handler(request: Request, clock: Clock) -> int:
            clock.callLater(5, lambda: request.channel and request.finish())
            return NOT_DONE_YET

        (finding,) = self.findings(plain(handler))
        self.assertRegex(finding, "left behind: on the clock: .*handler.*, due in 5 s")

    def test_survivor(self) -> None:
        """Work that survives its cancellation is reported as not stopped."""
        findings = self.findings(
            resource(lambda request, clock: Errand(obedient=False)), endless=True
        )
        self.assertIn("not stopped: the work survived its cancel, at ", findings[0])

    def test_may_run_on(self) -> None:
        """A handler that runs on is reported as not stopped, but passes with must_stop=False."""

        async def go(request: Request, clock: Clock) -> None:
            await sleep(clock)
            if request.channel is not None:
                request.finish()

        def handler(request: Request, clock: Clock) -> int:
            ensureDeferred(go(request, clock))
            return NOT_DONE_YET

        sweep(plain(handler), must_stop=False)
        self.assertIn("not stopped", self.findings(plain(handler))[0])

    def test_not_meant_to_be_stopped(self) -> None:
        """A POST in a wrapper passes, although it runs to its end."""

        def make(clock: Clock) -> CancellingResource:
            return CancellingResource(Page(lambda request: two_waits(request, clock)))

        sweep(make, lambda client: client.post(b"/", b"data"))

    def test_not_returned(self) -> None:
        """A coroutine that a handler only begins is reported if it runs on, but not for a POST."""

        async def go(request: Request, clock: Clock) -> None:
            await sleep(clock)
            if request.channel is not None:
                request.finish()

        def begin(request: Request, clock: Clock) -> int:
            ensureDeferred(go(request, clock))
            return NOT_DONE_YET

        def wrapped(clock: Clock) -> CancellingResource:
            return CancellingResource(plain(begin)(clock))

        for make in resource(begin), wrapped:
            (finding,) = self.findings(make)
            self.assertIn("that is neither tracked nor detached still runs at", finding)
            self.assertIn("await sleep(clock)", finding)
        sweep(wrapped, lambda client: client.post(b"/", b"data"))

    def test_begun_beside_the_handler(self) -> None:
        """Work beside the handler's own is reported, unless it is tracked, detached or shielded."""

        async def beside(clock: Clock) -> None:
            await sleep(clock)

        def handler(keep: Callable[[Any], object]) -> Handler:
            async def handle(request: Request, clock: Clock) -> bytes:
                keep(ensureDeferred(beside(clock)))
                await sleep(clock, 3)
                return b""

            return handle

        (finding,) = self.findings(resource(handler(lambda work: None)))
        self.assertIn("nor detached still runs at", finding)
        for keep in (lambda work: current_scope().track(work), detach, shield):
            sweep(resource(handler(keep)))

    def test_shielded_by_a_coroutine_of_its_own(self) -> None:
        """A shielded coroutine that survives is reported once, as surviving work."""

        async def slow(clock: Clock) -> None:
            await sleep(clock, 30)

        async def handler(request: Request, clock: Clock) -> bytes:
            await shield(slow(clock))
            return b""

        (finding,) = self.findings(resource(handler))
        self.assertIn("not stopped: the work survived its cancel, at ", finding)

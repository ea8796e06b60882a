"""The sweep finds what is wrong with a handler whose client leaves."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredSemaphore,
    ensureDeferred,
    fail,
    gatherResults,
    inlineCallbacks,
    succeed,
)
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import CancellingResource, cancel_on_disconnect, current_scope, detach, shield
from cancelweb.testing import Problem, sweep

from ._scopes import Errand, Leaf
from ._sweeps import Handler, SweepTestCase, plain, resource, sleep, two_waits


class StoppedTests(SweepTestCase):
    """Handlers that do not stop."""

    def test_plain_handler_that_runs_on(self) -> None:
        """A coroutine that nobody cancels was not stopped, and it fails in the end."""

        async def go(request: Request, clock: Clock) -> None:
            await sleep(clock)
            request.finish()

        def handler(request: Request, clock: Clock) -> int:
            ensureDeferred(go(request, clock))
            return NOT_DONE_YET

        first, second = self.findings(plain(handler))
        self.assertIn("not stopped: the handler waited on at test_sweep_findings.py", first)
        self.assertIn("await sleep(clock)", first)
        self.assertIn("error: RuntimeError: Request.finish called", second)

    def test_plain_handler_that_stops(self) -> None:
        """One that cancels by itself passes."""

        def handler(request: Request, clock: Clock) -> int:
            work = ensureDeferred(two_waits(request, clock))
            work.addCallback(request.write).addCallback(lambda _: request.finish())
            request.notifyFinish().addErrback(lambda _: work.cancel())
            work.addErrback(lambda failure: failure.trap(CancelledError) and None)
            return NOT_DONE_YET

        self.assertEqual(len(sweep(plain(handler), beside=False).points), 2)

    def test_plain_handler_that_is_forced_to_wait(self) -> None:
        """One that runs on from a forced wait was not stopped there."""

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
        """A timer that nobody cancels is left on the clock."""

        def handler(request: Request, clock: Clock) -> int:
            clock.callLater(5, lambda: request.channel and request.finish())
            return NOT_DONE_YET

        (finding,) = self.findings(plain(handler))
        self.assertRegex(finding, "left behind: on the clock: .*handler.*, due in 5 s")

    def test_swallowed(self) -> None:
        """A handler that goes on after its cancellation has swallowed it; the line is told."""

        async def handler(request: Request, clock: Clock) -> bytes:
            with contextlib.suppress(Exception):
                await sleep(clock)
            await sleep(clock, 2)
            return b""

        for make in resource(handler), lambda clock: CancellingResource(resource(handler)(clock)):
            (finding,) = self.findings(make)
            self.assertIn("swallowed the cancellation: after it the handler went on", finding)
            self.assertIn("await sleep(clock, 2)", finding)

    def test_cleaning_up_is_not_swallowing(self) -> None:
        """A handler may wait in its finally and except."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                try:
                    await sleep(clock)
                except CancelledError:
                    await sleep(clock)
                    raise
            finally:
                await sleep(clock)
            return b""

        self.assertEqual(len(sweep(resource(handler), beside=False).points), 2)

    def test_swallowed_without_a_wait(self) -> None:
        """One that goes on to what has fired already has swallowed it as well."""

        async def handler(request: Request, clock: Clock) -> bytes:
            with contextlib.suppress(Exception):
                await sleep(clock)
            await succeed("a row")
            return b""

        def generator(request: Request, clock: Clock) -> Generator[Any, Any, bytes]:
            with contextlib.suppress(Exception):
                yield sleep(clock)
            yield succeed("a row")
            return b""

        for each, line in ((handler, "await"), (inlineCallbacks(generator), "yield")):
            made: Any = resource(each)
            (finding,) = self.findings(made, forced=True)
            self.assertIn("swallowed the cancellation: after it the handler went on to", finding)
            self.assertIn(f'{line} succeed("a row")', finding)
            sweep(made, forced=False)

    def test_cleaning_up_without_a_wait(self) -> None:
        """One that cleans up with what has fired already has not."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                await sleep(clock)
            finally:
                await succeed(None)
                await succeed(None)
            return b""

        sweep(resource(handler))

    def test_swallowed_after_cleaning_up(self) -> None:
        """One that cleans up and then goes on has swallowed it all the same."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                await sleep(clock)
            except CancelledError:
                await sleep(clock)
            await sleep(clock, 2)
            return b""

        (finding,) = self.findings(resource(handler))
        self.assertIn("await sleep(clock, 2)", finding)

    def test_endless_cleaning_up(self) -> None:
        """Cleaning up that does not end is reported."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                await sleep(clock)
            except CancelledError:
                await Deferred()
            return b""

        findings = self.findings(resource(handler))
        self.assertIn(
            "left behind: after 60 s it still cleans up at test_sweep_findings.py", findings[0]
        )

    def test_survivor(self) -> None:
        """Work that survives its cancellation was not stopped."""
        findings = self.findings(
            resource(lambda request, clock: Errand(obedient=False)), endless=True
        )
        self.assertIn("not stopped: the work survived its cancellation", findings[0])

    def test_may_run_on(self) -> None:
        """A handler that may run on is only asked to leave nothing."""

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
        """A POST in a wrapper runs to its end, and that is right."""

        def make(clock: Clock) -> CancellingResource:
            return CancellingResource(Leaf(lambda request: two_waits(request, clock)))

        sweep(make, lambda client: client.post(b"/", b"data"))

    def test_not_returned(self) -> None:
        """A coroutine that a handler has begun, and of which nobody knows, runs on in any scope."""

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
            self.assertIn("not stopped: what is neither tracked nor detached ran on at", finding)
            self.assertIn("await sleep(clock)", finding)
        sweep(wrapped, lambda client: client.post(b"/", b"data"))

    def test_begun_beside_the_handler(self) -> None:
        """So does one that is begun beside the handler's own; tracked, detached or shielded not."""

        async def beside(clock: Clock) -> None:
            await sleep(clock)

        def handler(keep: Callable[[Any], object]) -> Handler:
            async def handle(request: Request, clock: Clock) -> bytes:
                keep(ensureDeferred(beside(clock)))
                await sleep(clock, 3)
                return b""

            return handle

        (finding,) = self.findings(resource(handler(lambda work: None)))
        self.assertIn("nor detached ran on at", finding)
        for keep in (lambda work: current_scope().track(work), detach, shield):
            sweep(resource(handler(keep)))

    def test_shielded_by_a_coroutine_of_its_own(self) -> None:
        """A shielded coroutine that survives is told as that, and once."""

        async def slow(clock: Clock) -> None:
            await sleep(clock, 30)

        async def handler(request: Request, clock: Clock) -> bytes:
            await shield(slow(clock))
            return b""

        (finding,) = self.findings(resource(handler))
        self.assertIn("not stopped: the work survived its cancellation", finding)


class LeftTests(SweepTestCase):
    """What is left behind."""

    def test_own_calls(self) -> None:
        """What the resource has on the clock by itself is not left behind."""

        def make(clock: Clock) -> Leaf:
            loop = LoopingCall(lambda: None)
            loop.clock = clock
            loop.start(0.3)
            return resource(two_waits)(clock)

        sweep(make)

    def test_own_work(self) -> None:
        """Nor is a coroutine that the resource has started for itself, or that its timer starts."""

        def make(clock: Clock) -> Leaf:
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
            return Leaf(handler)

        report = sweep(make)
        self.assertEqual(report.lines, frozenset())
        self.assertFalse(any(each.is_forced for each in report.points))

    def test_calls_of_completed_requests(self) -> None:
        """Nor what a request leaves that completes, such as a session's timer."""

        async def handler(request: Request, clock: Clock) -> bytes:
            request.getSession()
            return await two_waits(request, clock)

        sweep(resource(handler))

    def test_file(self) -> None:
        """A temporary file is; one that was there before the request is not."""

        async def handler(request: Request, clock: Clock) -> bytes:
            handle, path = tempfile.mkstemp(prefix="mine")
            os.close(handle)
            await sleep(clock)
            os.unlink(path)
            return b""

        def make(clock: Clock) -> Leaf:
            tempfile.mkdtemp(prefix="own")
            return resource(handler)(clock)

        (finding,) = self.findings(make)
        self.assertRegex(finding, "left behind: a temporary file: mine")

    def test_open_scope(self) -> None:
        """A scope that does not close is."""

        async def hook(scope: object) -> None:
            await Deferred()

        make = resource(two_waits, on_cancel=hook, cleanup_timeout=100)
        findings = self.findings(make)
        self.assertRegex(findings[0], "left behind: <Scope of .* has not closed")

    def test_hooks_that_ran_twice(self) -> None:
        """The hooks of a scope are counted."""

        async def handler(request: Request, clock: Clock) -> bytes:
            served: Any = request.__dict__["_cancelweb_served"]
            current_scope().on_cancel(lambda scope: served._count(scope))
            return await two_waits(request, clock)

        findings = self.findings(resource(handler))
        self.assertIn("hooks: they were run 2 times", findings)

    def test_error(self) -> None:
        """A failure that is logged is reported; so is one when nobody leaves."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                await sleep(clock)
            finally:
                fail(ValueError("unhandled"))
            return b""

        report = self.failed(resource(handler), beside=False)
        (finding,) = report.findings
        self.assertEqual((finding.problem, finding.point), (Problem.ERROR, None))
        self.assertIn("when nobody left:\n        error: ValueError: unhandled", str(report))

    def test_unhandled_error(self) -> None:
        """An unhandled error in a Deferred is told as that: it may have no other text."""

        async def handler(request: Request, clock: Clock) -> bytes:
            await gatherResults([sleep(clock), sleep(clock)])
            return b""

        (finding,) = self.findings(resource(handler), max_points=1, endless=True)
        self.assertEqual(finding, "error: CancelledError (unhandled in a Deferred)")

    def test_disconnect_that_raises(self) -> None:
        """A producer that fails when it is stopped is reported, as a reactor logs it."""

        class Failing:
            def stopProducing(self) -> None:
                raise ValueError("mine")

        def handler(request: Request, clock: Clock) -> int:
            request.registerProducer(Failing(), True)
            clock.callLater(1, lambda: (request.unregisterProducer(), request.finish()))
            return NOT_DONE_YET

        self.assertIn("error: ValueError: mine", self.findings(plain(handler)))

    def test_check(self) -> None:
        """A check is called with the resource, and what it asserts is reported."""

        class Rows(Leaf):
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


class OthersTests(SweepTestCase):
    """What other clients notice."""

    def test_forced_lock(self) -> None:
        """A lock whose forced await is cancelled is given back: nobody would have got it."""

        def make(clock: Clock) -> Leaf:
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
            return Leaf(decorate(lambda request: handlers[request.uri](request)))

        for path in b"/a", b"/g":
            self.assertTrue(any(each.is_forced for each in sweep(make, path).points))

    def test_forced_failure(self) -> None:
        """A failure whose forced await is cancelled is no unhandled error."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                await fail(ValueError())
            except ValueError:
                return b"handled"
            return b""

        report = sweep(resource(handler), beside=False)
        self.assertEqual([each.is_forced for each in report.points], [True])

    def test_awaiting_one_deferred_twice(self) -> None:
        """Two awaits of one Deferred: the second gets nothing, even if nobody leaves."""

        def make(clock: Clock) -> Leaf:
            shared: list[Deferred[bytes]] = []

            async def handler(request: Request) -> bytes:
                if not shared:
                    shared.append(deferLater(clock, 1, lambda: b"rate"))
                try:
                    return await shared[0]
                finally:
                    shared.clear()

            return Leaf(cancel_on_disconnect(handler))

        report = self.failed(make)
        text = "others: another client got 200 with b'' instead of b'rate'"
        self.assertIn(f"when nobody left:\n        {text}", str(report))

    def test_answers_that_differ_anyway(self) -> None:
        """Where clients never get the same, only the status is compared; long bodies are cut."""

        def make(clock: Clock) -> Leaf:
            count = iter(range(100))

            async def handler(request: Request) -> bytes:
                await sleep(clock)
                return b"%d" % next(count)

            return Leaf(cancel_on_disconnect(handler))

        sweep(make)

    def test_long_bodies(self) -> None:
        """Of long bodies the beginning is told."""

        def make(clock: Clock) -> Leaf:
            lost: list[object] = []

            async def handler(request: Request) -> bytes:
                try:
                    await sleep(clock)
                except CancelledError:
                    lost.append(request)
                    raise
                return b"y" * 50 if lost else b"x" * 50

            return Leaf(cancel_on_disconnect(handler))

        (finding,) = self.findings(make)
        self.assertIn(f"b'{'y' * 37}...' instead of b'{'x' * 37}...'", finding)

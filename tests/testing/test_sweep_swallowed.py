"""The sweep finds handlers that swallow their cancellation, and knows those that clean up."""

import contextlib
from collections.abc import Generator
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    inlineCallbacks,
    succeed,
)
from twisted.internet.task import Clock
from twisted.web.server import Request

from cancelweb import CancellingResource, shield
from cancelweb.testing import sweep

from ._sweeps import SweepTestCase, resource, sleep


class SwallowedTests(SweepTestCase):
    """Handlers that go on after their cancellation."""

    def test_swallowed(self) -> None:
        """A handler that goes on after its cancellation is reported, with the line."""

        async def handler(request: Request, clock: Clock) -> bytes:
            with contextlib.suppress(Exception):
                await sleep(clock)
            await sleep(clock, 2)
            return b""

        for make in resource(handler), lambda clock: CancellingResource(resource(handler)(clock)):
            (finding,) = self.findings(make)
            self.assertIn("swallowed the cancellation: the handler then went on", finding)
            self.assertIn("await sleep(clock, 2)", finding)

    def test_cleaning_up_is_not_swallowing(self) -> None:
        """A handler that waits in its `except` and `finally` has swallowed nothing."""

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
        """A handler that goes on to wait for a fired Deferred is reported by the forced passes."""

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
            self.assertIn("swallowed the cancellation: the handler then went on to", finding)
            self.assertIn(f'{line} succeed("a row")', finding)
            sweep(made, forced=False)

    def test_swallowed_by_callbacks(self) -> None:
        """Callbacks that go on after their cancellation are reported, with the time they took."""

        def handler(request: Request, clock: Clock) -> Deferred[bytes]:
            waited = sleep(clock).addErrback(lambda _: None)
            return waited.addCallback(lambda _: sleep(clock, 2)).addCallback(lambda _: b"")

        (finding,) = self.findings(resource(handler))
        self.assertEqual(
            finding,
            "swallowed the cancellation: the work then ran for 2 s, to its end",
        )

    def test_cleaning_up_and_an_answer(self) -> None:
        """A handler that waits in its `except` and then returns has swallowed nothing."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                await sleep(clock)
            except CancelledError:
                await sleep(clock)
            return b""

        sweep(resource(handler))

    def test_shielded_failure(self) -> None:
        """A handler that suppresses the failure of what it shields has swallowed nothing."""

        async def work(clock: Clock) -> None:
            await sleep(clock)
            raise ValueError

        async def handler(request: Request, clock: Clock) -> bytes:
            with contextlib.suppress(ValueError):
                await shield(work(clock))
            return b""

        sweep(resource(handler), forced=False)

    def test_cleaning_up_without_a_wait(self) -> None:
        """A handler that awaits fired Deferreds in its `finally` has swallowed nothing."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                await sleep(clock)
            finally:
                await succeed(None)
                await succeed(None)
            return b""

        sweep(resource(handler))

    def test_swallowed_after_cleaning_up(self) -> None:
        """A handler that cleans up and then goes on is reported, with the line it went on to."""

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
        """A handler that cleans up without end is reported, with where it does."""

        async def handler(request: Request, clock: Clock) -> bytes:
            try:
                await sleep(clock)
            except CancelledError:
                await Deferred()
            return b""

        findings = self.findings(resource(handler))
        self.assertIn(
            "left behind: the handler still cleans up after 60 s, at test_sweep",
            findings[0],
        )

"""Clients that leave with the whole response, before the handler has called ``finish``.

What belongs here: what follows, in memory. What counts as whole is in `test_whole_responses_kinds`;
real sockets are in `test_whole_responses_real`.
"""

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.server import Request, Site

from cancelweb import (
    CancellingResource,
    Scope,
    Shared,
    access_log_499,
    current_scope,
)
from cancelweb.testing import Client

from .._pages import Handler, Page
from ._streams import TURN
from ._whole import BODY, WholeTestCase


class DeliveredIsNotAbandonedTests(WholeTestCase):
    """A client that leaves with the whole response cancels nothing."""

    def test_finish_that_comes_late(self) -> None:
        """A response whose client leaves after the last byte has completed."""
        outcome = self.leave(self.later)
        self.assert_finished(outcome)
        self.assertEqual((outcome.status, outcome.sent), (200, 5))
        self.assertEqual(self.monitor.totals, {("none", "completed"): 1})

    def test_returned_work(self) -> None:
        """Returned work runs to its end if the client leaves after the last byte."""
        self.assert_finished(self.leave(self.waiting))
        self.assertEqual(self.told, ["done", "exit"])

    def test_leftover_work(self) -> None:
        """Tracked work is leftover work, and stops, if the client leaves after the last byte."""

        async def handler(request: Any) -> None:
            current_scope().track(Deferred(lambda _: self.told.append("leftover")))
            await self.waiting(request)

        outcome = self.leave(handler)
        self.assert_finished(outcome)
        self.assertEqual((outcome.leftovers, self.told), (1, ["leftover", "done", "exit"]))

    def test_streams(self) -> None:
        """A generator runs to its end if the client leaves after the last byte."""

        async def handler(request: Any) -> AsyncIterator[bytes]:
            request.setHeader(b"content-length", b"5")
            yield BODY
            await deferLater(self.clock, 0.5)
            self.told.append("behind")
            yield b""

        self.assert_finished(self.leave(handler))
        self.assertEqual(self.told, ["behind", "exit"])

    def test_own_listeners(self) -> None:
        """A listener of a client that leaves after the last byte finds a finished request."""

        def handler(request: Any) -> int:
            finished = request.notifyFinish()
            finished.addErrback(lambda _: self.told.append(f"finished: {request.finished}"))
            return self.later(request)

        self.assert_finished(self.leave(handler))
        self.assertEqual(self.told, ["finished: 1", "exit"])

    def test_requests_with_listeners_of_their_own(self) -> None:
        """A request with its own `notifyFinish` completes if the client has the last byte."""

        class OwnRequest(Request):
            def notifyFinish(self) -> Deferred[None]:
                """See `IRequest`."""
                return super().notifyFinish()

        client = self.client(self.waiting)
        site: Any = client.site
        site.requestFactory = OwnRequest
        client.get().disconnect()
        self.assert_finished(self.outcome())

    def test_spared_methods_and_dry_runs(self) -> None:
        """A spared request, or a dry run, notes no disconnect after the last byte."""
        self.assert_finished(self.leave(self.waiting, b"POST"))
        self.outcomes.clear()
        self.assert_finished(self.leave(self.waiting, dry_run=True))

    def test_shared_work(self) -> None:
        """Shared work is not cancelled if the client that awaits it leaves after the last byte."""
        shared = Shared(lambda: deferLater(self.clock, 0.5, lambda: self.told.append("shared")))

        async def handler(request: Any) -> None:
            request.setHeader(b"content-length", b"5")
            request.write(BODY)
            await shared()

        self.assert_finished(self.leave(handler))
        self.assertEqual(self.told, ["shared", "exit"])

    def test_unreported_losses(self) -> None:
        """A loss after the last byte that is found before Twisted reports it cancels nothing."""
        scopes: list[Scope] = []

        async def handler(request: Any) -> None:
            scopes.append(current_scope())
            await self.waiting(request)

        exchange = self.client(handler).get()
        request: Any = scopes[0].request
        request.channel = None
        scopes[0].catch_up(is_reported_by_now=True)
        exchange.disconnect()
        self.assert_finished(self.outcome())

    def logged(self, handler: Handler) -> list[int]:
        """The statuses in the access log of a client that leaves after a moment."""
        logged: list[int] = []

        class LoggingSite(Site):
            def log(self, request: Any) -> None:
                """Note the status."""
                logged.append(request.code)

        page = CancellingResource(Page(handler), on_exit=access_log_499)
        clock: Any = self.clock
        exchange = Client(LoggingSite(page, reactor=clock)).get()
        self.clock.pump([TURN] * 9)
        exchange.disconnect()
        return logged

    def test_access_log(self) -> None:
        """The access log has the status of a response whose client left after the last byte."""
        self.assertEqual(self.logged(self.later), [200])

    def test_access_log_of_what_was_broken_off(self) -> None:
        """The access log has no line for a response that was broken off after the last byte."""

        async def failing(request: Any) -> None:
            self.later(request)
            raise ValueError("behind")

        self.assertEqual(self.logged(failing), [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

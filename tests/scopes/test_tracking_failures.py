"""Where a failure of tracked work is told while its handler goes on."""

import gc
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import Ended, current_scope

from .._logs import log_events, of_cancelweb
from .._visits import Visit
from .._work import Errand


class ItsResultIsItsOwnersTests(SynchronousTestCase):
    """The result of tracked work belongs to the code that tracked it."""

    def setUp(self) -> None:
        self.events = log_events(self)
        self.go: Deferred[None] = Deferred()
        self.answer: Deferred[bytes] = Deferred()

    async def fail_later(self) -> None:
        """Wait for the test, and fail."""
        await self.go
        raise KeyError("tracked")

    def test_coroutine_that_no_code_awaits(self) -> None:
        """Twisted, not cancelweb, logs the unhandled failure of a tracked coroutine."""

        def handler(_: Request) -> Deferred[bytes]:
            current_scope().track(self.fail_later())
            return self.answer

        visit = Visit(handler)
        self.go.callback(None)
        self.answer.callback(b"page")
        gc.collect()
        self.assertEqual(visit.outcome.ended, Ended.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(of_cancelweb(self.events), [])

    def test_coroutine_that_is_handled(self) -> None:
        """The failure of a tracked coroutine goes to its owner's errback, and is not logged."""
        heard: list[Any] = []

        def handler(_: Request) -> Deferred[bytes]:
            current_scope().track(self.fail_later()).addErrback(heard.append)
            return self.answer

        Visit(handler)
        self.go.callback(None)
        self.assertIs(heard[0].type, KeyError)

    def test_kind_without_an_owner(self) -> None:
        """cancelweb logs the failure of tracked work that has no chain of callbacks, at once."""
        work = Errand()

        def handler(_: Request) -> Deferred[bytes]:
            current_scope().track(work)
            return self.answer

        Visit(handler)
        work.fail(KeyError())
        [event] = of_cancelweb(self.events)
        self.assertEqual(event["log_format"], "tracked work failed")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

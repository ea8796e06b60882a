"""Who hears of a failure of tracked work, while its handler goes on."""

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
    """What tracked work comes to belongs to the code that has tracked it."""

    def setUp(self) -> None:
        self.events = log_events(self)
        self.go: Deferred[None] = Deferred()
        self.answer: Deferred[bytes] = Deferred()

    async def fail_later(self) -> None:
        """Work."""
        await self.go
        raise KeyError("tracked")

    def test_coroutine_that_nobody_awaits(self) -> None:
        """Twisted logs its failure as unhandled once it is garbage, and cancelweb does not."""

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
        """With an errback nothing is logged but what that logs."""
        heard: list[Any] = []

        def handler(_: Request) -> Deferred[bytes]:
            current_scope().track(self.fail_later()).addErrback(heard.append)
            return self.answer

        Visit(handler)
        self.go.callback(None)
        self.assertIs(heard[0].type, KeyError)

    def test_kind_without_an_owner(self) -> None:
        """The failure of a kind that has no chain of callbacks is logged by cancelweb, at once."""
        work = Errand()

        def handler(_: Request) -> Deferred[bytes]:
            current_scope().track(work)
            return self.answer

        Visit(handler)
        work.fail(KeyError())
        [event] = of_cancelweb(self.events)
        self.assertEqual(event["log_format"], "tracked work failed")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

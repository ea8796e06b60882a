"""What the tests of the sweep share: makers of resources, and what a sweep finds in them."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import (
    Deferred,
)
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import cancel_on_disconnect
from cancelweb.testing import Report, SweepFailed, sweep

from .._pages import Page

Handler = Callable[[Request, Clock], Any]


def sleep(clock: Clock, seconds: float = 1) -> Deferred[None]:
    """Wait on the clock."""
    return deferLater(clock, seconds)


def resource(handler: Handler, **options: Any) -> Callable[[Clock], Page]:
    """A maker of resources with a decorated handler."""

    def make(clock: Clock) -> Page:
        decorate: Any = cancel_on_disconnect(**options)
        return Page(decorate(lambda request: handler(request, clock)))

    return make


def plain(handler: Handler) -> Callable[[Clock], Page]:
    """A maker of resources with a handler of plain Twisted."""
    return lambda clock: Page(lambda request: handler(request, clock))


async def two_waits(request: Request, clock: Clock) -> bytes:
    """A handler that waits twice, and can be stopped."""
    await sleep(clock)
    await sleep(clock)
    return b"done"


class SweepTestCase(SynchronousTestCase):
    """The base of the tests of the sweep."""

    def failed(self, make_resource: Callable[[Clock], Any], **options: Any) -> Report:
        """The report of a sweep that finds something."""
        error = self.assertRaises(SweepFailed, sweep, make_resource, **options)
        self.flushLoggedErrors()
        self.assertEqual(str(error), str(error.report))
        report: Report = error.report
        return report

    def findings(self, make_resource: Callable[[Clock], Any], **options: Any) -> list[str]:
        """What a sweep finds, in one pass without forced waits."""
        options = {"forced": False, "beside": False, **options}
        return [str(each) for each in self.failed(make_resource, **options).findings]

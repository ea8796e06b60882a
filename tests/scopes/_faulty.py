"""Work whose canceller raises, of every kind.

What belongs here: such work, and a request for it. What does not: the tests.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, succeed
from twisted.logger import LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from .._logs import log_events, of_cancelweb
from .._pages import PAGE, Handler
from .._visits import Visit
from .._work import Errand

MOMENT = 0.014
"""The seconds that a query still took to end after its driver had raised."""


class CancellerError(Exception):
    """What a canceller raises."""


class WorkError(Exception):
    """What work fails with."""


class Faulty(Errand):
    """Work of the user's own kind, whose canceller raises."""

    error: type[BaseException] = CancellerError

    def cancel(self) -> None:
        """Note that the work was asked to stop, and raise."""
        super().cancel()
        raise self.error()


def faulty() -> Faulty:
    """Work that has not ended when its canceller raises."""
    return Faulty(obedient=False)


def wire(errand: Faulty) -> Deferred[Any]:
    """A Deferred whose canceller raises; it fires when the errand ends."""
    deferred: Deferred[Any] = Deferred(lambda _: errand.cancel())
    errand.when_settled().addBoth(deferred.callback)
    return deferred


async def coroutine(errand: Faulty) -> Any:
    """A coroutine that awaits the errand."""
    return await wire(errand)


async def outer_coroutine(errand: Faulty) -> Any:
    """A coroutine that awaits another one, which awaits the errand."""
    return await coroutine(errand)


@inlineCallbacks
def generator(errand: Faulty) -> Any:
    """A generator of `inlineCallbacks` that waits for the errand."""
    result = yield wire(errand)
    return result


def chained(errand: Faulty) -> Deferred[Any]:
    """A Deferred that has fired, and waits for the errand."""
    return succeed(None).addCallback(lambda _: wire(errand))


def listed(errand: Faulty) -> Deferred[Any]:
    """A list that waits for the errand, and for a Deferred that stops at once."""
    works: list[Deferred[Any]] = [Deferred(lambda _: None), wire(errand)]
    return DeferredList(works, consumeErrors=True).addCallback(lambda results: results[1][1])


async def stream(errand: Faulty) -> AsyncIterator[bytes]:
    """An async generator that awaits the errand."""
    await wire(errand)
    yield PAGE


Kind = Callable[[Faulty], Any]
KINDS: list[Kind] = [lambda errand: errand, wire, chained, listed]
"""Kinds of work that are asked directly."""

DRIVEN: list[Kind] = [coroutine, outer_coroutine, generator, stream]
"""Code that awaits work at fault: what raises is the canceller of what it awaits."""


class FaultyTestCase(SynchronousTestCase):
    """A request with work whose canceller raises, and a client that leaves.

    Attributes:
        ran: the hooks that were run.
    """

    def setUp(self) -> None:
        """Note which hooks run, and what is logged."""
        self.ran: list[str] = []
        self.events = log_events(self)

    def visit(self, handler: Handler, **options: Any) -> Visit:
        """Ask for a page that has a hook."""
        self.ran.clear()
        return Visit(handler, on_exit=lambda _: self.ran.append("exit"), **options)

    def assert_logged_once(self, *errors: type[BaseException]) -> None:
        """The canceller's error and these were logged once each, and no survivor was named."""
        expected = sorted([CancellerError, *errors], key=str)
        logged = sorted((each.type for each in self.flushLoggedErrors()), key=str)
        self.assertEqual(logged, expected)
        self.assertEqual(self.warnings(), [])

    def warnings(self) -> list[str]:
        """The warnings that were logged, which name survivors."""
        return [formatEvent(each) for each in of_cancelweb(self.events, LogLevel.warn)]

    def assert_waits(self, visit: Visit, errand: Faulty) -> None:
        """The work was asked, once, and the scope waits for it."""
        self.assertEqual(errand.asked, [""])
        self.assertEqual((self.ran, visit.outcomes), ([], []))

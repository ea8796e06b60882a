"""The contenders that run on Twisted, and how they are served.

The handlers compared by `inprocess.py` are the same; here their work is done by a real reactor.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from attrs import define, field
from control import STDIN, Control
from handlers import (
    BODY,
    BareDeferred,
    CallByHand,
    DecoratedCall,
    DecoratedCoroutine,
    DecoratedDeferred,
    DeferredByHand,
    Stage,
    UndecoratedDeferred,
    UnobservedDeferred,
    log_to_nobody,
)
from ledger import SOON, Books, Ledger
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from cancelweb import CancellingResource

reactor: Any = _installed_reactor

NEVER = 86_400.0
"""Seconds of a timer that is not waited for to its end."""


# --- the work ---


@define(eq=False)
class CountedClock:
    """Counts what it calls later, and has its own idea of when."""

    ledger: Ledger
    delay: float

    def callLater(self, _: float, call: Callable[..., None], *args: object) -> Any:
        """Call something when the delay is over."""
        self.ledger.begin()
        later = reactor.callLater(self.delay, self._complete, call, args)
        later.canceller = self._cancelling(later.canceller)
        return later

    def _complete(self, call: Callable[..., None], args: tuple[object, ...]) -> None:
        self.ledger.complete()
        call(*args)

    def _cancelling(self, canceller: Callable[[object], None]) -> Callable[[object], None]:
        def cancel(later: object) -> None:
            self.ledger.cancel()
            canceller(later)

        return cancel


@define(eq=False, kw_only=True)
class SoonStage(Stage):
    """Work that ends soon."""

    ledger: Ledger

    def begin(self) -> Deferred[bytes]:
        """Begin some; nobody leaves before its end."""
        self.ledger.begin()
        return deferLater(reactor, SOON, self._complete)

    def _complete(self) -> bytes:
        self.ledger.complete()
        return BODY


@define(eq=False, kw_only=True)
class NeverStage(Stage):
    """Work that ends when it is cancelled, and is kept by who does it until then."""

    ledger: Ledger
    _kept: set[Deferred[bytes]] = field(factory=set)

    def begin(self) -> Deferred[bytes]:
        """Begin some."""
        self.ledger.begin()
        work: Deferred[bytes] = Deferred(self._cancel)
        self._kept.add(work)
        return work

    def _cancel(self, work: Deferred[bytes]) -> None:
        self._kept.remove(work)
        self.ledger.cancel()


# --- the contenders ---


PAGES: dict[str, Callable[[Stage], Any]] = {
    "bare": BareDeferred,
    "recipe": CallByHand,
    "careful": DeferredByHand,
    "call": DecoratedCall,
    "deferred": DecoratedDeferred,
    "silent": UnobservedDeferred,
    "coroutine": DecoratedCoroutine,
}


def root_of(name: str, soon: Stage, never: Stage) -> Any:
    """The resource at the root of a contender's site."""
    if name.startswith("klein"):
        # It takes long to import, and the others need not.
        from klein_pages import klein_root

        return klein_root(name, soon, never)
    root = Resource()
    page = PAGES.get(name, UndecoratedDeferred)
    root.putChild(b"soon", page(soon))
    root.putChild(b"never", page(never))
    return CancellingResource(root) if name == "wrapped" else root


# --- how they are served ---


class QuietSite(Site):
    """A site without an access log; nobody else has one here."""

    def log(self, request: object) -> None:
        """Write nothing."""


def stages(books: Books) -> tuple[Stage, Stage]:
    """What the pages wait for."""
    soon, never = SoonStage(ledger=books.soon), NeverStage(ledger=books.never)
    soon.clock = CountedClock(books.soon, SOON)  # type: ignore[assignment]
    never.clock = CountedClock(books.never, NEVER)  # type: ignore[assignment]
    return soon, never


def serve(name: str, books: Books, listening: socket.socket, control: Control) -> None:
    """Serve until the process ends."""
    log_to_nobody()
    site = QuietSite(root_of(name, *stages(books)), timeout=None)
    reactor.adoptStreamPort(listening.fileno(), socket.AF_INET, site)
    listening.close()
    control.later = reactor.callLater
    reactor.addReader(ControlReader(control))
    reactor.run()


@implementer(IReadDescriptor)
@define(eq=False)
class ControlReader:
    """Has the commands read."""

    control: Control

    def fileno(self) -> int:
        """Where they come from."""
        return STDIN

    def doRead(self) -> None:
        """There is one."""
        self.control.read()

    def connectionLost(self, reason: object) -> None:
        """The reactor stops."""

    def logPrefix(self) -> str:
        """What the log calls it."""
        return "control"

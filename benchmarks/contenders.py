"""A real Site with its real requests over connections in memory, and the pairs to compare.

Requests are sent and abandoned here; how long that takes is not measured here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, frozen
from handlers import (
    CallByHand,
    CoroutineByHand,
    DecoratedBytes,
    DecoratedCall,
    DecoratedCoroutine,
    DecoratedDeferred,
    DeferredByHand,
    DeferredUntilDeadline,
    DeferredWithDeadline,
    DeferredWithHook,
    LoggedDeferredByHand,
    PlainBytes,
    Stage,
    UndecoratedDeferred,
    UnobservedCall,
    UnobservedCoroutine,
    UnobservedDeferred,
)
from klein_pages import klein_coroutine, klein_deferred
from twisted.internet.address import IPv4Address
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor

MakeRoot = Callable[[Stage], Any]
End = Callable[[Stage], None] | None

REQUEST = b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"

_ADDRESS = IPv4Address("TCP", "127.0.0.1", 80)
_LOST = Failure(CONNECTION_LOST)


class Connection:
    """A connection, seen from the client."""

    def __init__(self, site: Site) -> None:
        self._transport: Any = StringTransport()
        self._protocol: Any = site.buildProtocol(_ADDRESS)
        self._protocol.makeConnection(self._transport)
        self.send: Callable[[bytes], None] = self._protocol.dataReceived

    def received(self) -> bytes:
        """All that has come since this was called last."""
        received: bytes = self._transport.value()
        self._transport.clear()
        return received

    def leave(self) -> None:
        """Break it. As TCP transports do, this one lets go of its producer first."""
        producer, self._transport.producer = self._transport.producer, None
        producer.stopProducing()
        self._protocol.connectionLost(_LOST)


@define(eq=False)
class Contender:
    """A site, and what its handler waits for.

    Attributes:
        root: the resource at its root.
        stage: what the handler waits for.
        end: brings that to its end; None where nothing is waited for.
        request_factory: makes the site's requests.
    """

    root: Any
    stage: Stage
    end: End
    request_factory: type[Request] = Request

    @classmethod
    def of(cls, make_root: MakeRoot, end: End) -> Contender:
        """One with a stage of its own."""
        stage = Stage()
        return cls(make_root(stage), stage, end)

    def connect(self) -> Connection:
        """Open a connection."""
        site = Site(self.root, self.request_factory, timeout=None, reactor=self.stage.clock)
        return Connection(site)

    def complete(self, connection: Connection, requests: int) -> None:
        """Send requests, each when the one before has been answered."""
        send, end, stage = connection.send, self.end, self.stage
        if end is None:
            for _ in range(requests):
                send(REQUEST)
        else:
            for _ in range(requests):
                send(REQUEST)
                end(stage)

    def abandon(self, connections: list[Connection]) -> None:
        """Send a request on each connection, and leave."""
        for connection in connections:
            connection.send(REQUEST)
            connection.leave()


@frozen
class Case:
    """Two ways to make a page, with cancelweb and without.

    Attributes:
        name: what they have in common.
        against: what theirs is.
        make_ours: makes the resource at the root of the site.
        make_theirs: makes the one of the other site.
        end: brings what their handlers wait for to its end; None where they wait for nothing.
        is_abandoned: whether the clients leave.
        ratio_at_most: how many times as long ours may take.
        extra_at_most: how many microseconds longer ours may take.
    """

    name: str
    against: str
    make_ours: MakeRoot
    make_theirs: MakeRoot
    end: End
    is_abandoned: bool = False
    ratio_at_most: float | None = None
    extra_at_most: float | None = None

    def ours(self) -> Contender:
        """The one with cancelweb."""
        return Contender.of(self.make_ours, self.end)

    def theirs(self) -> Contender:
        """The one without."""
        return Contender.of(self.make_theirs, self.end)


def wrapped_bytes(stage: Stage) -> CancellingResource:
    """Bytes through a `CancellingResource`."""
    return CancellingResource(PlainBytes(stage))


def _tree(stage: Stage) -> Resource:
    root = Resource()
    root.putChild(b"page", PlainBytes(stage))
    return root


def _wrapped_tree(stage: Stage) -> CancellingResource:
    return CancellingResource(_tree(stage))


def wrapped_deferred(stage: Stage) -> CancellingResource:
    """A Deferred through a `CancellingResource`."""
    return CancellingResource(UndecoratedDeferred(stage))


def monitored_bytes(stage: Stage) -> CancellingResource:
    """Bytes through a `CancellingResource` with a monitor."""
    return CancellingResource(PlainBytes(stage), monitor=Monitor())


def monitored_deferred(stage: Stage) -> CancellingResource:
    """A Deferred through a `CancellingResource` with a monitor."""
    return CancellingResource(UndecoratedDeferred(stage), monitor=Monitor())


def observed_deferred(stage: Stage) -> CancellingResource:
    """The same, with an observer on the monitor, as `MonitorCollector` is one."""
    monitor = Monitor()
    monitor.add_observer(lambda outcome: None)
    return CancellingResource(UndecoratedDeferred(stage), monitor=monitor)


_RECIPE = "the tutorial's recipe"
_CAREFUL = "a careful handler"
_PLAIN = "no cancellation"
_KLEIN = "Klein"

_call, _work = Stage.end_call, Stage.end_work

CASES = (
    Case("`IDelayedCall`", _RECIPE, DecoratedCall, CallByHand, _call, ratio_at_most=1.06),
    Case("`Deferred`", _CAREFUL, DecoratedDeferred, DeferredByHand, _work, ratio_at_most=1.00),
    Case("`Deferred` of Klein", _KLEIN, DecoratedDeferred, klein_deferred, _work),
    Case(
        "`Deferred`, `CancellingResource`",
        _CAREFUL,
        wrapped_deferred,
        DeferredByHand,
        _work,
        ratio_at_most=1.08,
    ),
    Case("`Deferred`, hook", "cancelweb without", DeferredWithHook, DecoratedDeferred, _work),
    Case(
        "`Deferred`, deadline",
        f"{_CAREFUL}, `addTimeout`",
        DeferredWithDeadline,
        DeferredUntilDeadline,
        _work,
    ),
    Case(
        "`Deferred`, monitor",
        "cancelweb without",
        monitored_deferred,
        wrapped_deferred,
        _work,
        extra_at_most=1.0,
    ),
    Case(
        "bytes, monitor",
        "cancelweb without",
        monitored_bytes,
        wrapped_bytes,
        None,
        extra_at_most=1.0,
    ),
    Case(
        "`Deferred`, observed monitor",
        "a monitor without",
        observed_deferred,
        monitored_deferred,
        _work,
    ),
    Case("coroutine", _CAREFUL, DecoratedCoroutine, CoroutineByHand, _work),
    Case(
        "coroutine of Klein",
        _KLEIN,
        DecoratedCoroutine,
        klein_coroutine,
        _work,
        ratio_at_most=0.51,
    ),
    Case("bytes", _PLAIN, DecoratedBytes, PlainBytes, None, extra_at_most=0.6),
    Case("bytes, `CancellingResource`", _PLAIN, wrapped_bytes, PlainBytes, None, extra_at_most=1.5),
    Case(
        "bytes, child of a `CancellingResource`",
        _PLAIN,
        _wrapped_tree,
        _tree,
        None,
        extra_at_most=1.5,
    ),
    Case("`IDelayedCall`, abandoned", _RECIPE, UnobservedCall, CallByHand, _call, True),
    Case(
        "`Deferred`, abandoned",
        _CAREFUL,
        UnobservedDeferred,
        DeferredByHand,
        _work,
        is_abandoned=True,
        ratio_at_most=1.05,
    ),
    Case(
        "`Deferred`, abandoned, logged",
        f"{_CAREFUL} that logs it",
        DecoratedDeferred,
        LoggedDeferredByHand,
        _work,
        is_abandoned=True,
        ratio_at_most=1.05,
    ),
    Case("coroutine, abandoned", _CAREFUL, UnobservedCoroutine, CoroutineByHand, _work, True),
    Case(
        "coroutine of Klein, abandoned",
        _KLEIN,
        UnobservedCoroutine,
        klein_coroutine,
        _work,
        is_abandoned=True,
    ),
)

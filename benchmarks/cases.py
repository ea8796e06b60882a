"""The cases: pairs of handlers, with cancelweb and without, and the most that ours may cost.

Other modules measure them.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from contenders import Contender, End, MakeRoot
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
    klein_coroutine,
    klein_deferred,
)
from twisted.web.resource import Resource

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor


@frozen
class AtMost:
    """How many times what theirs costs ours may cost; None where there is no target."""

    instructions: float | None = None
    time: float | None = None


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
        at_most: what ours may cost.
    """

    name: str
    against: str
    make_ours: MakeRoot
    make_theirs: MakeRoot
    end: End
    is_abandoned: bool = False
    at_most: AtMost = AtMost()

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


def _apart(make_root: MakeRoot) -> MakeRoot:
    """The same, with fewer requests in a second than `log_outcome` gives a line each."""

    def make(stage: Stage) -> Any:
        stage.apart = 0.02
        return make_root(stage)

    return make


def observed_deferred(stage: Stage) -> CancellingResource:
    """The same, with an observer on the monitor, as `MonitorCollector` is one."""
    monitor = Monitor()
    monitor.add_observer(lambda outcome: None)
    return CancellingResource(UndecoratedDeferred(stage), monitor=monitor)


_RECIPE = "the tutorial's recipe"
_CAREFUL = "a careful handler"
_PLAIN = "no cancellation"
_WITHOUT = "cancelweb without"
_KLEIN = "Klein"

_call, _work = Stage.end_call, Stage.end_work

CASES = (
    Case("`IDelayedCall`", _RECIPE, DecoratedCall, CallByHand, _call, at_most=AtMost(1.02, 1.06)),
    Case(
        "`Deferred`", _CAREFUL, DecoratedDeferred, DeferredByHand, _work, at_most=AtMost(0.98, 1.04)
    ),
    Case("`Deferred` of Klein", _KLEIN, DecoratedDeferred, klein_deferred, _work),
    Case(
        "`Deferred`, `CancellingResource`",
        _CAREFUL,
        wrapped_deferred,
        DeferredByHand,
        _work,
        at_most=AtMost(1.03, 1.12),
    ),
    Case(
        "`Deferred`, hook",
        _WITHOUT,
        DeferredWithHook,
        DecoratedDeferred,
        _work,
        at_most=AtMost(1.12),
    ),
    Case(
        "`Deferred`, deadline",
        f"{_CAREFUL}, `addTimeout`",
        DeferredWithDeadline,
        DeferredUntilDeadline,
        _work,
        at_most=AtMost(1.05),
    ),
    Case("`Deferred`, monitor", _WITHOUT, monitored_deferred, wrapped_deferred, _work),
    Case("bytes, monitor", _WITHOUT, monitored_bytes, wrapped_bytes, None),
    Case(
        "`Deferred`, observed monitor",
        "a monitor without",
        observed_deferred,
        monitored_deferred,
        _work,
    ),
    Case(
        "coroutine",
        _CAREFUL,
        DecoratedCoroutine,
        CoroutineByHand,
        _work,
        at_most=AtMost(0.97, 1.04),
    ),
    Case(
        "coroutine of Klein",
        _KLEIN,
        DecoratedCoroutine,
        klein_coroutine,
        _work,
        at_most=AtMost(0.58, 0.56),
    ),
    Case("bytes", _PLAIN, DecoratedBytes, PlainBytes, None, at_most=AtMost(1.03)),
    Case(
        "bytes, `CancellingResource`", _PLAIN, wrapped_bytes, PlainBytes, None, at_most=AtMost(1.08)
    ),
    Case(
        "bytes, child of a `CancellingResource`",
        _PLAIN,
        _wrapped_tree,
        _tree,
        None,
        at_most=AtMost(1.10),
    ),
    Case(
        "`IDelayedCall`, abandoned",
        _RECIPE,
        UnobservedCall,
        CallByHand,
        _call,
        True,
        at_most=AtMost(1.08, 1.15),
    ),
    Case(
        "`Deferred`, abandoned",
        _CAREFUL,
        UnobservedDeferred,
        DeferredByHand,
        _work,
        True,
        at_most=AtMost(1.02, 1.12),
    ),
    Case(
        "`Deferred`, abandoned, a line each",
        f"{_CAREFUL} that logs it",
        _apart(DecoratedDeferred),
        _apart(LoggedDeferredByHand),
        _work,
        True,
        at_most=AtMost(1.10),
    ),
    Case(
        "`Deferred`, abandoned in a burst",
        f"{_CAREFUL} that logs it",
        DecoratedDeferred,
        LoggedDeferredByHand,
        _work,
        True,
        at_most=AtMost(1.10),
    ),
    Case("coroutine, abandoned", _CAREFUL, UnobservedCoroutine, CoroutineByHand, _work, True),
    Case(
        "coroutine of Klein, abandoned", _KLEIN, UnobservedCoroutine, klein_coroutine, _work, True
    ),
)

"""The sweep: the same request again and again, left at each point at which its handler waits.

How one run goes is in `_run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import Any

from twisted.internet.task import Clock

from ._client import Client
from ._exchange import Exchange
from ._report import Finding, Problem, Report, SweepFailed
from ._run import Plan, Run


def sweep(
    make_resource: Callable[[Clock], Any],
    request: bytes | Callable[[Client], Exchange] = b"/",
    *,
    check: Callable[[Any], object] = lambda resource: None,
    must_stop: bool = True,
    forced: bool = True,
    beside: bool = True,
    leave: Callable[[Any], object] = methodcaller("disconnect"),
    endless: bool = False,
    max_points: int = 1000,
    patience: float = 60.0,
) -> Report:
    """Have the client leave at each point at which a handler waits, and see what that does.

    One run is left alone. Then the same request is made once for each point at which that run
    waited, and left there: before every delayed call on the clock, so at each ``await`` and
    ``yield`` that waits for one; also, unless ``forced`` is False, at each ``await`` and
    ``yield`` whose Deferred has already fired, which is made to wait; and at last with a second
    client that waits beside the one that leaves. After each of these runs:

    * the handler has stopped, or is reported, with the line that it waits at or went on to; so has
      what it has begun beside, unless that is tracked, shielded or detached;
    * its scope, if it has one, is closed, and the hooks have been run once;
    * nothing is left that the undisturbed run does not leave as well: delayed calls, files made
      with ``tempfile`` in its default directory;
    * nothing was logged as a failure, unhandled errors in Deferreds among it;
    * other clients, beside and later, get the status that they get when nobody leaves.

    What the resource does for itself, such as polling, is left alone: what ``make_resource``
    begins, and what follows from that on the clock.

    All has to happen on the clock, and in the same way each time: let stand-ins for a database or
    a remote service answer with ``task.deferLater(clock, …)``. Handlers need not be under
    cancelweb. Works in trial, pytest, and anything else that runs a function.

    Args:
        make_resource: called with the clock; returns a new resource, or a Site on that clock, for
            each run.
        request: a path to GET, or a function that makes the request with the `Client` it is
            given, and returns what that returns.
        check: called with the resource after each run; its AssertionError is a finding.
        must_stop: False for a handler that may run on when its client has left.
        forced: False to leave out the waits that are forced. Their findings stand apart in the
            report: a stand-in that has already done its work cannot take it back when it is
            cancelled, as the real thing might. (A ``DeferredLock`` or ``DeferredSemaphore``
            gets back what was acquired.)
        beside: False to leave out the second client.
        leave: how the client leaves: called with what ``request`` has returned, it is to end that.
            It closes the connection unless given; ``lambda stream: stream.reset()`` leaves a
            stream of HTTP/2, and its connection goes on.
        endless: True for a request that never ends by itself, such as a stream of events.
        max_points: how far to go before a request counts as endless.
        patience: how many seconds on the clock cleaning up may take.

    Returns:
        What was covered; ``print`` it.

    Raises:
        SweepFailed: something was found; an AssertionError that has the report and tells it.
        TypeError: ``make_resource`` cannot be called, or ``request`` has made no request.
    """
    if not callable(make_resource):
        raise TypeError(
            "make_resource must make a new resource for each run, as in lambda clock: "
            f"Page(clock); {make_resource!r} cannot be called"
        )
    plan = Plan(
        make_resource, _asking(request), check, leave, must_stop, forced, max_points, patience
    )
    report = _report(_runs(plan, beside), endless)
    if report.findings:
        raise SweepFailed(report)
    return report


def _asking(request: bytes | Callable[[Client], Exchange]) -> Callable[[Client], Exchange]:
    return request if callable(request) else lambda client: client.get(request)


def _runs(plan: Plan, beside: bool) -> list[Run]:
    """All runs; the very first, left alone, tells what every client is to get."""
    alone = Run(plan, is_beside=False).play()
    body = alone.stock.body
    runs = [alone, *_left_runs(alone, body)]
    if beside:
        together = Run(plan, is_beside=True, body=body).play()
        runs += [together, *_left_runs(together, body)]
    return runs


def _left_runs(base: Run, body: bytes | None) -> Iterator[Run]:
    """One run for each point at which a run waited that was left alone."""
    for target in range(1, base.count + 1):
        yield Run(base.plan, base.is_beside, target, base.stock, body).play()


def _report(runs: list[Run], endless: bool) -> Report:
    is_complete = not any(run.is_endless for run in runs)
    findings = [finding for run in runs for finding in run.findings]
    if not (is_complete or endless):
        findings.append(_endless(runs[0]))
    points = tuple(run.point for run in runs if run.point is not None)
    return Report(str(runs[0].exchange), points, tuple(findings), is_complete)


def _endless(run: Run) -> Finding:
    return Finding(
        Problem.ENDLESS,
        f"the request has not ended after {run.count} points. Where it waits for something that "
        "is not on the clock, put it there; where it is meant to go on, say endless=True, or give "
        "a greater max_points",
    )

"""The sweep: repeat a request, and leave at each point at which its handler waits.

`run` has a single run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import Any, TypeVar

from twisted.internet.task import Clock
from twisted.web.server import Site

from ..._checks import check_count, check_flag, check_function, check_instance, check_seconds, shown
from ..._typed import AnyResource
from .._client import Client
from .._exchange import Exchange
from .report import Finding, Problem, Report, SweepFailed
from .run import Plan, Run

RootT = TypeVar("RootT", bound="AnyResource | Site")


def sweep(
    make_resource: Callable[[Clock], RootT],
    request: bytes | Callable[[Client], Exchange] = b"/",
    *,
    check: Callable[[RootT], object] = lambda resource: None,
    must_stop: bool = True,
    forced: bool = True,
    beside: bool = True,
    leave: Callable[[Any], object] = methodcaller("disconnect"),
    endless: bool = False,
    max_points: int = 1000,
    patience: float = 60.0,
) -> Report:
    """Make the client leave at each point at which a handler waits, and check what that does.

    In the first run the client stays. Then the sweep repeats the request once for each point at
    which that run waited, and the client leaves there. A point is before every delayed call on the
    clock, and so at each ``await`` and ``yield`` that waits for one. Unless ``forced`` is False,
    the sweep also makes each ``await`` and ``yield`` wait whose Deferred has already fired. In a
    last pass, a second client waits beside the one that leaves. After each of these runs, the sweep
    expects:

    * the handler has stopped, and so has what it began, unless that is tracked, shielded or
      detached. If not, the report has the line at which it waits, or to which it went on;
    * its scope, if it has one, is closed, and its hooks have run once;
    * nothing is left that the undisturbed run does not leave, too: delayed calls, and files made
      with ``tempfile`` in its default directory;
    * no failure was logged, including unhandled errors in Deferreds;
    * other clients, at the same time and later, get the status that they get if the client stays.

    What the resource does for itself, such as polling, is left alone: what ``make_resource``
    begins, and what follows from that on the clock.

    Everything must happen on the clock, and in the same way each time. Let stand-ins for a database
    or a remote service answer with ``task.deferLater(clock, …)``. Handlers need not use cancelweb.
    Works in trial, pytest, and anything else that runs a function.

    Args:
        make_resource: called with the clock for each run; returns a new resource, or a Site on that
            clock.
        request: a path to GET, or a function that makes the request with the `Client` it is
            given, and returns the `Exchange`.
        check: called with the resource after each run; its AssertionError is a finding.
        must_stop: False for a handler that may run on after its client has left.
        forced: False to leave out the forced waits. The report lists their findings separately: a
            stand-in that has already done its work cannot take that back when it is cancelled, as
            the real thing might. (A ``DeferredLock`` or ``DeferredSemaphore`` gets back what was
            acquired.)
        beside: False to leave out the second client.
        leave: how the client leaves: called with what ``request`` returned, it must end that. By
            default it closes the connection. ``lambda stream: stream.reset()`` leaves an HTTP/2
            stream, and the connection goes on.
        endless: True for a request that never ends by itself, such as a stream of events.
        max_points: after how many points a request counts as endless.
        patience: how many seconds on the clock cleaning up may take.

    Returns:
        What was covered; ``print`` it.

    Raises:
        SweepFailed: an AssertionError: the sweep found problems. It has the report, which is also
            its message.
        TypeError: ``make_resource`` is not callable, or ``request`` has made no request.
    """
    if not callable(make_resource):
        raise TypeError(
            "make_resource must be a function that makes a new resource for each run, such as "
            f"lambda clock: Page(clock), not {shown(make_resource)}"
        )
    for name, function in (("check", check), ("leave", leave)):
        check_function(name, function)
    flags = {"must_stop": must_stop, "forced": forced, "beside": beside, "endless": endless}
    for name, flag in flags.items():
        check_flag(name, flag)
    check_count("max_points", max_points)
    check_seconds("patience", patience)
    plan = Plan(
        make_resource, _sender(request), check, leave, must_stop, forced, max_points, patience
    )
    report = _report(_runs(plan, beside), endless)
    if report.findings:
        raise SweepFailed(report)
    return report


def _sender(request: bytes | Callable[[Client], Exchange]) -> Callable[[Client], Exchange]:
    if callable(request):
        return request
    text = "the path to GET, as bytes, or a function that makes the request with a Client"
    check_instance("request", request, bytes, text)
    return lambda client: client.get(request)


def _runs(plan: Plan, beside: bool) -> list[Run]:
    """All runs. The very first, in which the client stays, tells what every client should get."""
    alone = Run(plan, is_beside=False).play()
    body = alone.stock.body
    runs = [alone, *_left_runs(alone, body)]
    if beside:
        together = Run(plan, is_beside=True, body=body).play()
        runs += [together, *_left_runs(together, body)]
    return runs


def _left_runs(base: Run, body: bytes | None) -> Iterator[Run]:
    """One run for each point at which a run waited while its client stayed."""
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
        f"the request has not ended after {run.count} points. If it waits for something that is "
        "not on the clock, put that on the clock. If it is meant to go on, pass endless=True, or a "
        "greater max_points",
    )

"""Every private or undocumented name of Twisted that cancelweb uses, and what happens without it.

A name is private if it, its class or its module begins with an underscore. It is undocumented if
neither an interface nor the docstring of its class tells of it. Twisted may drop either kind in any
release. So it is with the variables of its functions, and with asyncio. Facts only: when they are
looked up stands in `checks`, and private ones are read in modules beside it alone.
"""

from __future__ import annotations

from .names_of_web import NEEDED_OF_WEB
from .needed import Needed, of

_DEFER = "twisted.internet.defer:"

NEEDED = (
    Needed(
        "forgiving",
        of(_DEFER, "DebugInfo", "DebugInfo.failResult", "Deferred._debugInfo"),
        "a Deferred that was cancelled, and that no code awaits, is logged as an unhandled error",
    ),
    Needed(
        "chains",
        ("twisted.internet.defer:Deferred.result",),
        "a cancel may miss what a Deferred that has fired waits for, reports may miss where work "
        "waits, and cancelweb.testing.sweep forces no waits",
    ),
    Needed(
        "leaves",
        of(
            _DEFER,
            *("_CancellationStatus", "_CancellationStatus.waitingOn"),
            *("Deferred._canceller", "DeferredList._deferredList"),
        ),
        "a cancel of a coroutine, a generator or a list gets no further than Twisted's own: not "
        "down a long chain, nor behind a list that has fired; reports may miss where work waits; "
        "work that nothing could stop counts as stopped; members of lists are logged as errors",
    ),
    Needed(
        "contexts",
        (
            f"{_DEFER}_CancellationStatus.deferred",
            *of(_DEFER, "_inlineCallbacks", "_addCancelCallbackToDeferred"),
        ),
        "steps of a coroutine handler take longer; hooks may see less of what a generator sets; a "
        "finally block must await a generator for its cleanup inside `with cleaning():`",
    ),
    Needed(
        "let go",
        ("twisted.internet.defer:race.to_cancel",),
        "a race() counts as stopped, even if nothing could stop what takes part in it",
    ),
    Needed(
        "executors",
        (
            *of("asyncio.futures:", "_chain_future.source", "Future._callbacks"),
            *of("asyncio.tasks:", "Task._fut_waiter", "_GatheringFuture._children"),
            "asyncio.taskgroups:TaskGroup._tasks",
        ),
        "a thread that runs on behind an asyncio future or task counts as stopped",
    ),
    Needed(
        "reports",
        ("twisted.internet.defer:Deferred._callbacks|callbacks",),
        "reports tell at which Deferred an inlineCallbacks generator waits, not at which line",
    ),
    Needed(
        "races",
        of(_DEFER, "FailureGroup", "FailureGroup.failures"),
        "a race() that was cancelled counts as failed",
    ),
    Needed(
        "timers",
        of("twisted.internet.base:DelayedCall.", "func", "canceller"),
        "a timer ends only when cancelweb cancels it or the response is over, so a request whose "
        "timer raises, or is cancelled by other code, is not answered",
    ),
    Needed(
        "unstarted loops",
        ("twisted.internet.task:LoopingCall.starttime",),
        "a LoopingCall that was never started is taken for one that has ended",
    ),
    Needed(
        "loops",
        ("twisted.internet.task:LoopingCall.deferred",),
        "a LoopingCall ends only when cancelweb stops it or the response is over, so a request "
        "whose loop fails is not answered",
    ),
    Needed(
        "tracked processes",
        ("twisted.internet.process:Process.proto",),
        "the end of a process transport is noticed only after it was cancelled, and a little late",
    ),
    Needed(
        "processes",
        ("twisted.internet.process:Process._fork",),
        "cancelweb.processes stops the child alone, not the processes that it has started",
    ),
    Needed(
        "unsent bytes",
        of("twisted.internet.abstract:FileDescriptor.", "dataBuffer", "offset"),
        "stall_timeout aborts clients that read, but take longer than it for what is buffered",
    ),
    Needed(
        "whole responses",
        (
            *of(
                "twisted.internet.abstract:FileDescriptor.", "_tempDataLen", "dataBuffer", "offset"
            ),
            "twisted.protocols.tls:TLSMemoryBIOProtocol._appSendBuffer",
            "twisted.web.http:Request.sentLength",
            "twisted.web._http2:H2Connection._outboundStreamQueues",
        ),
        "a client that leaves with the whole response, before its handler calls finish, counts as "
        "one that has left early",
    ),
    Needed(
        "streams over TLS",
        ("twisted.internet.abstract:FileDescriptor.disconnecting",),
        "an endless stream runs on after its client has closed a TLS connection in good order",
    ),
    Needed(
        "database",
        (
            *of("twisted.enterprise.adbapi:Connection.", "_connection", "_pool"),
            *of(
                "twisted.enterprise.adbapi:ConnectionPool.",
                *("_reactor", "_runInteraction", "_runWithConnection", "connections", "connargs"),
                *("connkw", "dbapi", "dbapiName", "max", "name", "running", "threadID"),
                "threadpool",
            ),
        ),
        "cancelweb.database.ConnectionPool is Twisted's own, whose queries cannot be stopped",
    ),
    Needed(
        "steps of a clock",
        (
            *of("twisted.internet.base:DelayedCall.", "args", "called", "kw"),
            *of("twisted.internet.task:Clock.", "calls", "rightNow"),
        ),
        "cancelweb.testing.sweep has fewer points: calls that are due together run together",
    ),
    *NEEDED_OF_WEB,
)

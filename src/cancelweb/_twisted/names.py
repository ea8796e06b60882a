"""Every private or undocumented name of Twisted that cancelweb uses, and what happens without it.

A name is private if it, its class or its module begins with an underscore. It is undocumented if
neither an interface nor the docstring of its class mentions it. Twisted may drop either kind in any
release. The same holds for the variables of its functions, and for the names of asyncio. This
module has the facts only: `checks` looks the names up, and modules beside it read the private ones.
"""

from __future__ import annotations

from .names_of_web import NEEDED_OF_WEB
from .needed import Needed, of

_DEFER = "twisted.internet.defer:"

NEEDED = (
    Needed(
        "forgiving",
        of(_DEFER, "DebugInfo", "DebugInfo.failResult", "Deferred._debugInfo"),
        "a cancelled Deferred that no code awaits is logged as an unhandled error",
    ),
    Needed(
        "chains",
        ("twisted.internet.defer:Deferred.result",),
        "a cancel may miss what a Deferred that has fired waits for, reports may miss where work "
        "waits, and cancelweb.testing.sweep cannot make a handler wait",
    ),
    Needed(
        "leaves",
        of(
            _DEFER,
            *("_CancellationStatus", "_CancellationStatus.waitingOn"),
            *("Deferred._canceller", "DeferredList._deferredList"),
        ),
        "a cancel of a coroutine, a generator or a list reaches no further than Twisted's own: not "
        "down a long chain, nor beyond a list that has fired. Reports may miss where work waits. "
        "Work that nothing could stop counts as stopped. Members of lists are logged as errors",
    ),
    Needed(
        "contexts",
        (
            f"{_DEFER}_CancellationStatus.deferred",
            *of(_DEFER, "_inlineCallbacks", "_addCancelCallbackToDeferred"),
        ),
        "steps of a coroutine handler take longer. Hooks may see less of what a generator sets. A "
        "finally block that awaits a generator for cleanup must do so inside `with cleaning():`",
    ),
    Needed(
        "let go",
        ("twisted.internet.defer:race.to_cancel",),
        "a race() counts as stopped, even if nothing could stop its members",
    ),
    Needed(
        "executors",
        (
            *of("asyncio.futures:", "_chain_future.source", "Future._callbacks"),
            *of("asyncio.tasks:", "Task._fut_waiter", "_GatheringFuture._children"),
            "asyncio.taskgroups:TaskGroup._tasks",
        ),
        "a thread that keeps running behind an asyncio future or task counts as stopped",
    ),
    Needed(
        "reports",
        ("twisted.internet.defer:Deferred._callbacks|callbacks",),
        "reports name the Deferred at which an inlineCallbacks generator waits, but not the line",
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
        "timer raises, or is cancelled by other code, gets no answer",
    ),
    Needed(
        "unstarted loops",
        ("twisted.internet.task:LoopingCall.starttime",),
        "a LoopingCall that was never started counts as ended",
    ),
    Needed(
        "loops",
        ("twisted.internet.task:LoopingCall.deferred",),
        "a LoopingCall ends only when cancelweb stops it or the response is over, so a request "
        "whose loop fails gets no answer",
    ),
    Needed(
        "tracked processes",
        ("twisted.internet.process:Process.proto",),
        "the end of a process transport is noticed only after it was cancelled, and a little late",
    ),
    Needed(
        "exit signal",
        ("twisted.internet.base:ReactorBase._exitSignal",),
        "a process that exit_after ends is ended by SIGTERM, even if SIGINT asked it to stop",
    ),
    Needed(
        "unsent bytes",
        of("twisted.internet.abstract:FileDescriptor.", "dataBuffer", "offset"),
        "stall_timeout aborts clients that read, but take too long for what is already buffered",
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
        "having left early",
    ),
    Needed(
        "streams over TLS",
        ("twisted.internet.abstract:FileDescriptor.disconnecting",),
        "an endless stream runs on after its client has closed a TLS connection properly",
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

"""What the tests of Twisted's private names replace, and what must still work without each.

What belongs here: the program that is run once for each of the `BATCHES`, with the number of one as
its argument. It changes Twisted, imports cancelweb, and prints what it is warned of and what fails.
What does not: tests. Nothing here imports Twisted before it is changed.
"""

import json
import sys
import traceback
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ._renaming import Renaming, forget

DEFER = "twisted.internet.defer"
TASK = "twisted.internet.task"
BASE = "twisted.internet.base"
HTTP = "twisted.web.http"
SERVER = "twisted.web.server"
H2 = "twisted.web._http2"
ADBAPI = "twisted.enterprise.adbapi"

BATCHES = [
    [
        f"{DEFER}:DebugInfo",
        f"{DEFER}:_CancellationStatus",
        f"{BASE}:DelayedCall.args",
        f"{TASK}:LoopingCall.starttime",
        "twisted.internet.process:Process.proto",
        f"{HTTP}:Request.etag",
        "twisted.internet.abstract:FileDescriptor.dataBuffer",
        f"{H2}:H2Stream._conn",
        "twisted.web.client:Agent._endpointFactory",
        "h2.connection:H2Connection.encoder",
    ],
    [
        f"{DEFER}:DebugInfo.failResult",
        f"{DEFER}:_CancellationStatus.waitingOn",
        f"{BASE}:DelayedCall.called",
        f"{TASK}:LoopingCall.deferred",
        "twisted.internet.abstract:FileDescriptor._tempDataLen",
        f"{HTTP}:Request.finished",
        f"{H2}:H2Connection.site",
        f"{H2}:H2Stream.streamID",
        "twisted.web._newclient:HTTP11ClientProtocol._parser",
    ],
    [
        f"{DEFER}:Deferred._canceller",
        f"{DEFER}:Deferred._debugInfo",
        f"{DEFER}:FailureGroup.failures",
        f"{BASE}:DelayedCall.kw",
        f"{HTTP}:Request.channel",
        "twisted.protocols.tls:TLSMemoryBIOProtocol._appSendBuffer",
        f"{H2}:H2Connection.conn",
        "twisted.internet.tcp:Connection.protocol",
        "twisted.web._newclient:HTTPParser.state",
    ],
    [
        f"{DEFER}:Deferred.result",
        f"{DEFER}:FailureGroup",
        f"{H2}:H2Connection._requestDone",
        f"{BASE}:DelayedCall.func",
        f"{HTTP}:Request.startedWriting",
        f"{H2}:H2Connection.remainingOutboundWindow",
        f"{HTTP}:_GenericHTTPChannelProtocol._channel",
        "h2.connection:ConnectionState.CLOSED",
        "h2.connection:H2Connection.streams",
    ],
    [
        f"{DEFER}:DeferredList._deferredList",
        f"{DEFER}:_addCancelCallbackToDeferred",
        f"{BASE}:DelayedCall.canceller",
        f"{TASK}:Clock.calls",
        f"{HTTP}:Request.producer",
        "twisted.internet.abstract:FileDescriptor.offset",
        f"{HTTP}:HTTPChannel.persistent",
        f"{H2}:H2Connection._tryToWriteControlData",
        "h2.connection:H2Connection.state_machine",
        "h2.stream:H2Stream.closed",
    ],
    [
        f"{DEFER}:Deferred._callbacks|callbacks",
        f"{DEFER}:_CancellationStatus.deferred",
        f"{TASK}:Clock.rightNow",
        f"{HTTP}:Request.transport",
        f"{HTTP}:Request.code",
        f"{HTTP}:HTTPChannel._waitingForTransport",
        f"{SERVER}:Request._encoder",
        f"{H2}:H2Connection.streams",
        f"{H2}:H2Connection._outboundStreamQueues",
        "h2.connection:H2ConnectionStateMachine.state",
    ],
    [
        f"{DEFER}:race.to_cancel",
        "twisted.web.client:readBody.getAbort",
        "twisted.internet.abstract:FileDescriptor.disconnecting",
        f"{HTTP}:Request.notifications",
        f"{HTTP}:Request.lastModified",
        f"{DEFER}:_inlineCallbacks",
        f"{HTTP}:Request.sentLength",
        f"{BASE}:ReactorBase._exitSignal",
        f"{SERVER}:Request._inFakeHead",
        f"{SERVER}:Request.site",
        f"{H2}:H2Connection",
        "twisted.web._flatten:_fork",
    ],
]
"""Names that are replaced together; what a scenario looks at is changed by one of them alone."""

DATABASE = [
    f"{ADBAPI}:{name}"
    for name in (
        "Connection._connection",
        "Connection._pool",
        "ConnectionPool._reactor",
        "ConnectionPool._runInteraction",
        "ConnectionPool._runWithConnection",
        "ConnectionPool.connargs",
        "ConnectionPool.connections",
        "ConnectionPool.connkw",
        "ConnectionPool.dbapi",
        "ConnectionPool.dbapiName",
        "ConnectionPool.max",
        "ConnectionPool.name",
        "ConnectionPool.running",
        "ConnectionPool.threadID",
        "ConnectionPool.threadpool",
    )
]
"""Replaced one after another with the last batch: adbapi can be imported again."""

ALSO = {
    f"{BASE}:DelayedCall.args": [TASK],
    f"{BASE}:DelayedCall.called": [TASK],
    f"{BASE}:DelayedCall.func": [TASK],
    f"{BASE}:DelayedCall.kw": [TASK],
    "twisted.internet.process:Process.proto": ["twisted.internet._baseprocess"],
    "twisted.internet.tcp:Connection.protocol": ["twisted.internet._newtls"],
    "twisted.internet.abstract:FileDescriptor.disconnecting": [
        "twisted.internet.process",
        "twisted.internet.tcp",
        "twisted.internet._newtls",
    ],
    f"{HTTP}:Request.channel": [SERVER],
    f"{HTTP}:Request.code": [SERVER],
    f"{HTTP}:Request.startedWriting": [SERVER],
    f"{SERVER}:Request.site": [HTTP],
    f"{H2}:H2Connection": [HTTP],
    "h2.stream:H2Stream.closed": ["h2.connection"],
}
"""Other modules in which a name is replaced."""

PATTERNS = {
    f"{DEFER}:Deferred._callbacks|callbacks": r"\b_?callbacks\b",
    f"{DEFER}:_CancellationStatus.deferred": r"(?<=status\.)deferred|(?m:^    deferred(?=: .*\]$))",
    "twisted.internet.tcp:Connection.protocol": r"self\.protocol\b",
    f"{HTTP}:Request.transport": r"self\.transport(?= = self\.channel\.transport)",
    "twisted.web._newclient:HTTPParser.state": r"self\.state\b",
    "h2.connection:H2ConnectionStateMachine.state": r"self\.state\b",
    f"{H2}:H2Connection.streams": r"self\.streams\b",
    f"{ADBAPI}:ConnectionPool.max": r"self\.max\b|(?m:^    max\b)",
    f"{ADBAPI}:ConnectionPool.threadpool": r"self\.threadpool\b",
}
"""What to replace where the word alone is the name of something else, too."""


def patterns_of(names: list[str]) -> dict[str, list[str]]:
    """The patterns to replace for these names, by module."""
    patterns: dict[str, list[str]] = {}
    for name in names:
        word = name.replace(":", ".").rpartition(".")[2]
        pattern = PATTERNS.get(name, rf"\b{word}\b")
        for module in [name.partition(":")[0], *ALSO.get(name, [])]:
            if pattern not in patterns.setdefault(module, []):
                patterns[module].append(pattern)
    return patterns


IMPORTED = (
    "cancelweb",
    "cancelweb.database",
    "cancelweb.monitor",
    "cancelweb.processes",
    "cancelweb.proxy",
    "cancelweb.testing",
    "cancelweb.threads",
    "cancelweb.upstream",
)
"""What uses a private name, by itself or by what it imports."""

OF_THE_DATABASE = (ADBAPI, "cancelweb._stoppable.adbapi", "cancelweb.database")


def imported(names: tuple[str, ...]) -> list[str]:
    """Import modules, and return the warnings of that."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for name in names:
            import_module(name)
        try:
            import_module("cancelweb.testing._http2")
        except ImportError as error:
            assert "see the warnings" in str(error), error
    return [str(each.message) for each in told if each.category is RuntimeWarning]


async def attempt(scenario: Callable[[], Any]) -> str | None:
    """Run a scenario, and return what is wrong."""
    try:
        found = scenario()
        if found is not None:
            await found
    except BaseException:
        return traceback.format_exc()
    return None


async def replaced(names: list[str]) -> dict[str, Any]:
    """Import all with these names replaced, and try what must work without each."""
    told = imported(IMPORTED)
    without = import_module("tests.real.system._without")
    wrong = {"any": await attempt(without.serves)}
    for name in names:
        wrong[name] = await attempt(without.SCENARIOS[name.partition(":")[2]])
    return {"told": told, "wrong": {name: text for name, text in wrong.items() if text}}


async def replaced_in_adbapi(name: str) -> dict[str, Any]:
    """Import what is built on adbapi again with a name replaced, and try it."""
    sys.meta_path.insert(0, Renaming(patterns_of([name])))
    import_module("cancelweb._twisted.checks").check.cache_clear()
    forget(*OF_THE_DATABASE)
    told = imported(OF_THE_DATABASE)
    wrong = await attempt(import_module("tests.real.system._without").database)
    del sys.meta_path[0]
    return {"told": told, "wrong": {name: wrong} if wrong else {}}


async def results_of(reactor: object, batch: int) -> None:
    """Print the results of one of the batches, or of adbapi behind the last, as JSON."""
    if batch < len(BATCHES):
        results = [await replaced(BATCHES[batch])]
    else:
        imported(IMPORTED)
        results = [await replaced_in_adbapi(name) for name in DATABASE]
    json.dump(results, sys.stdout)


def main(batch: int) -> None:
    """Replace the names of a batch, and only then import Twisted."""
    if batch < len(BATCHES):
        sys.meta_path.insert(0, Renaming(patterns_of(BATCHES[batch])))
    from twisted.internet.task import react

    react(results_of, [batch])


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""The kinds of work of `wasted_work`: how each is done with cancelweb, and with Twisted alone.

What does not belong here: what becomes of it when the client leaves.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from threading import Barrier
from typing import Any

from attrs import frozen
from twisted.enterprise import adbapi
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutput
from twisted.web.client import Agent, readBody
from twisted.web.server import Request

from cancelweb import current_scope
from cancelweb.database import ConnectionPool
from cancelweb.processes import run
from cancelweb.threads import defer_to_thread
from cancelweb.upstream import CancellingAgent

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

STEP = 0.02
"""Seconds between two steps of what waits and works by turns."""
FRESH = 0.3
"""What has made no step for so many seconds does not run."""

ENDLESS = """
    WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter)
    SELECT sum(n) FROM counter
"""
# It waits and works by turns, and so do threads: fifty that only worked would keep two processors
# from anything else, such as looking whether a client has left.
BY_TURNS = """
    DO $$ BEGIN
      WHILE clock_timestamp() < statement_timestamp() + interval '{seconds} s' LOOP
        PERFORM pg_sleep(0.02);
        PERFORM sum(n) FROM generate_series(1, 2000) AS n;
      END LOOP;
    END $$
"""
# Of the processor's seconds: the many who run at once each get only a part of it.
BURN = "ulimit -t {seconds:.0f}; while :; do :; done"
PIPELINE = "({burn}) | cat | wc -c"

Work = Callable[[Request], Any]


@frozen
class Setting:
    """What the work is given.

    Attributes:
        ours: whether it is done with cancelweb.
        seconds: how long it takes.
        clients: for how many at once.
        directory: where to put files.
        dsn: where PostgreSQL is.
        upstream: where the other server is.
    """

    ours: bool
    seconds: float
    clients: int
    directory: str
    dsn: str
    upstream: str


steps: dict[object, float] = {}
"""When each work that runs in the reactor's thread has made its last step."""
timers: list[Any] = []
"""All that were set."""
unready: list[Deferred[Any]] = []
"""What has to be over before a client may ask."""


def step(work: object) -> None:
    """Do a little, and note it."""
    hashlib.sha256(bytes(100_000)).digest()
    steps[work] = time.monotonic()


def running() -> list[int]:
    """Of the work that runs in the reactor's thread, what does."""
    waiting = [each for each in reactor.getDelayedCalls() if each in timers]
    since = time.monotonic() - FRESH
    stepping = [work for work, last in steps.items() if last > since]
    return [id(each) for each in [*waiting, *stepping]]


def finish(request: Request) -> None:
    """Answer."""
    request.write(b"done\n")
    request.finish()


def timer(setting: Setting) -> Work:
    """The delayed call of Twisted's howto "Interrupted Responses"."""

    def call_later(function: Callable[..., object], argument: object) -> Any:
        timers.append(reactor.callLater(setting.seconds, function, argument))
        return timers[-1]

    def ours(request: Request) -> Any:
        return call_later(finish, request)

    def theirs(request: Request) -> Deferred[bytes]:
        waiting: Deferred[bytes] = Deferred(lambda _: call.cancel())
        call = call_later(waiting.callback, b"done\n")
        return waiting

    return ours if setting.ours else theirs


def coroutine(setting: Setting) -> Work:
    """A coroutine of many small steps."""

    async def work(request: Request) -> bytes:
        mine, end = object(), time.monotonic() + setting.seconds
        while time.monotonic() < end:
            step(mine)
            await deferLater(reactor, STEP)
        return b"done\n"

    return work if setting.ours else lambda request: Deferred.fromCoroutine(work(request))


def looping_call(setting: Setting) -> Work:
    """A LoopingCall, and for Twisted alone the Deferred that it comes with."""

    def looping(end: float, done: Callable[[], object]) -> LoopingCall:
        def turn(mine: object) -> None:
            step(mine)
            if time.monotonic() > end:
                loop.stop()
                done()

        loop = LoopingCall(turn, object())
        return loop

    def ours(request: Request) -> LoopingCall:
        loop = looping(time.monotonic() + setting.seconds, partial(finish, request))
        loop.start(STEP)
        return loop

    def theirs(request: Request) -> Deferred[bytes]:
        loop = looping(time.monotonic() + setting.seconds, lambda: None)
        return loop.start(STEP).addCallback(lambda _: b"done\n")

    return ours if setting.ours else theirs


def stream(setting: Setting) -> Work:
    """A response that comes in pieces."""

    async def chunks() -> AsyncIterator[bytes]:
        mine, end = object(), time.monotonic() + setting.seconds
        while time.monotonic() < end:
            step(mine)
            yield b"." * 1000
            await deferLater(reactor, STEP)

    def ours(request: Request) -> AsyncIterator[bytes]:
        return chunks()

    async def write(request: Request) -> bytes:
        async for chunk in chunks():
            request.write(chunk)
        return b""

    return ours if setting.ours else lambda request: Deferred.fromCoroutine(write(request))


def thread(setting: Setting) -> Work:
    """A function in a thread of the reactor's pool, which waits and works by turns."""
    reactor.suggestThreadPoolSize(setting.clients)
    much = bytes(2**18)

    def hash_on(check: Callable[[], object]) -> bytes:
        end = time.monotonic() + setting.seconds
        while time.monotonic() < end:
            hashlib.sha256(much).digest()
            time.sleep(STEP)
            check()
        return b"done\n"

    def ours(request: Request) -> Deferred[bytes]:
        return defer_to_thread(lambda: hash_on(current_scope().check))

    def theirs(request: Request) -> Deferred[bytes]:
        return deferToThread(hash_on, lambda: None)

    return ours if setting.ours else theirs


def sqlite(setting: Setting) -> Work:
    """A query of a file of SQLite that takes longer than any client waits."""
    pool = pool_of(
        setting, "sqlite3", os.path.join(setting.directory, "file"), check_same_thread=False
    )
    return awaited(lambda: pool.runQuery(ENDLESS))


def postgresql(setting: Setting) -> Work:
    """A statement of PostgreSQL that works now and then."""
    pool = pool_of(setting, "psycopg", setting.dsn)
    statement = BY_TURNS.format(seconds=setting.seconds)
    return awaited(lambda: pool.runOperation(statement))


def pool_of(setting: Setting, *arguments: str, **keywords: Any) -> Any:
    """A pool for all clients at once; the arguments are the driver and its own."""
    kind = ConnectionPool if setting.ours else adbapi.ConnectionPool
    pool: Any = kind(*arguments, cp_reactor=reactor, cp_max=setting.clients, **keywords)
    reactor.callWhenRunning(connect_all, pool, setting.clients)
    return pool


def connect_all(pool: Any, number: int) -> None:
    """Have all threads of a pool connect, so that no query has to wait for it."""
    together = Barrier(number)
    for _ in range(number):
        unready.append(pool.runWithConnection(lambda _: together.wait()))


def process(setting: Setting) -> Work:
    """A child that keeps a processor busy."""
    return child(setting, BURN.format(seconds=setting.seconds))


def pipeline(setting: Setting) -> Work:
    """A shell with three children, one of which keeps a processor busy."""
    return child(setting, PIPELINE.format(burn=BURN.format(seconds=setting.seconds)))


def child(setting: Setting, command: str) -> Work:
    """What a shell runs."""
    if setting.ours:
        return awaited(lambda: run(["sh", "-c", command], check=False))
    return awaited(lambda: getProcessOutput("/bin/sh", ["-c", command], env=os.environ))


def awaited(start: Callable[[], Deferred[Any]]) -> Work:
    """Work whose result is not for the client."""
    return lambda request: start().addCallback(lambda _: b"done\n")


def headers(setting: Setting) -> Work:
    """A request to a server that does not answer."""
    return exchange(setting, "headers")


def body(setting: Setting) -> Work:
    """A request to a server whose answer goes on and on."""
    return exchange(setting, "body")


def exchange(setting: Setting, path: str) -> Work:
    """A request to the other server."""
    agent: Any = CancellingAgent(Agent(reactor)) if setting.ours else Agent(reactor)

    async def ask(request: Request) -> bytes:
        response = await agent.request(b"GET", f"{setting.upstream}/{path}".encode())
        return await readBody(response)

    return ask if setting.ours else lambda request: Deferred.fromCoroutine(ask(request))


KINDS: dict[str, Callable[[Setting], Work]] = {
    "timer": timer,
    "coroutine": coroutine,
    "LoopingCall": looping_call,
    "stream": stream,
    "thread": thread,
    "SQLite query": sqlite,
    "PostgreSQL query": postgresql,
    "child process": process,
    "pipeline": pipeline,
    "upstream, before its headers": headers,
    "upstream, in its body": body,
}

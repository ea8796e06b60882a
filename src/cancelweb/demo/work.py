"""The kinds of work that the demonstration starts and abandons, and what each tells of itself.

Written as in any Twisted Web application: nothing here knows cancelweb, so that the same code runs
with it and without it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable
from enum import Enum
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

SLICES = 8
SLICE = 0.01
"""CPU seconds that one slice of work takes, on any machine."""
PAUSE = 0.08
"""Seconds between two slices."""

CHILD = f"""
import time
for _ in range({SLICES}):
    end = time.process_time() + {SLICE}
    while time.process_time() < end:
        pass
    print(time.process_time(), flush=True)
    time.sleep({PAUSE})
"""
"""A program that does the same work in a process of its own. Tells its CPU seconds so far."""


class State(Enum):
    """How far a piece of work is."""

    NEW = "new"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"


@define(eq=False)
class Run:
    """One piece of work, as the work itself tells it.

    Attributes:
        child_cpu: CPU seconds that its child process has told of, until that has ended.
    """

    child_cpu: float = 0.0
    _state: State = State.NEW
    _timer: IDelayedCall | None = None

    @property
    def state(self) -> State:
        """How far it is."""
        # A timer that is cancelled runs no code that could tell.
        timer = self._timer
        if self._state is State.RUNNING and timer is not None and not timer.active():
            return State.STOPPED
        return self._state

    def begin(self, timer: IDelayedCall | None = None) -> None:
        """It runs: for as long as the timer is set, where there is one."""
        self._state, self._timer = State.RUNNING, timer

    def end(self, completed: bool) -> None:
        """It runs no longer."""
        self._state = State.COMPLETED if completed else State.STOPPED

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end(completed=kind is None)


def spend(seconds: float) -> None:
    """Compute for so many CPU seconds."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def finish(request: Any) -> None:
    """Finish a response, unless the client has left: without cancelweb, that would raise."""
    if request.channel is not None:
        request.finish()


def timer(reactor: Any, request: Any, run: Run) -> IDelayedCall:
    """Set a timer that makes the page when it is due, as in Twisted's tutorial."""

    def make_page() -> None:
        spend(SLICES * SLICE)
        run.end(completed=True)
        finish(request)

    call: IDelayedCall = reactor.callLater(SLICES * PAUSE, make_page)
    run.begin(call)
    request.write(b"The timer is set.\n")
    return call


def deferred(reactor: Any, request: Any, run: Run) -> Deferred[None]:
    """Chain the slices by callbacks."""

    def work(_: object = None) -> Deferred[None]:
        spend(SLICE)
        request.write(b".")
        return deferLater(reactor, PAUSE)

    def ended(result: Any) -> Any:
        run.end(completed=not isinstance(result, Failure))
        return result

    run.begin()
    working = work()
    for _ in range(SLICES - 1):
        working.addCallback(work)
    return working.addBoth(ended)


async def coroutine(reactor: Any, request: Any, run: Run) -> None:
    """Await a pause after each slice."""
    with run:
        for _ in range(SLICES):
            spend(SLICE)
            request.write(b".")
            await deferLater(reactor, PAUSE)


def process(reactor: Any, request: Any, run: Run) -> IProcessTransport:
    """Have a child process do the work."""
    command = [sys.executable, "-I", "-S", "-c", CHILD]
    transport: IProcessTransport = reactor.spawnProcess(Child(request, run), command[0], command)
    return transport


async def stream(reactor: Any, request: Any, run: Run) -> AsyncIterator[bytes]:
    """Yield what each slice brings."""
    with run:
        for _ in range(SLICES):
            spend(SLICE)
            yield b"."
            await deferLater(reactor, PAUSE)


@define(eq=False)
class Child(ProcessProtocol):
    """Passes on to the client what the child process prints."""

    request: Any
    run: Run

    def outReceived(self, data: bytes) -> None:
        """The child has done a slice, or more."""
        self.run.begin()
        self.run.child_cpu = float(data.split()[-1])
        self.request.write(data)

    def processEnded(self, reason: Failure) -> None:
        """The child is gone: from now on the operating system has its CPU seconds."""
        self.run.child_cpu = 0.0
        self.run.end(completed=reason.check(ProcessDone) is not None)
        finish(self.request)


KINDS: dict[str, Callable[[Any, Any, Run], object]] = {
    "timer": timer,
    "Deferred": deferred,
    "coroutine": coroutine,
    "process": process,
    "stream": stream,
}
"""What starts each kind of work."""

"""A child process that leads its own process group, and how the whole group is stopped.

`processes` hands its output on.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.process import Process
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from .._kinds.where import Place, place
from .._log import log
from .._scopes.refusal import begin
from .._scopes.waits import Wait
from .._twisted.checks import check
from .inflow import Inflow

Completed = subprocess.CompletedProcess[bytes]
Argument = str | bytes | os.PathLike[str] | os.PathLike[bytes]

_FIRST_LOOK, _LONGEST_PAUSE = 0.001, 0.05
"""Seconds between two looks at a group, doubled each time: nothing tells when it is empty."""

_AFTER_KILL = 1.0
"""Seconds that KILL is given to work. Processes still seen after that are zombies: their new
parent, the first process of the system, does not collect them."""


_CAN_LEAD = check("processes")


class _Leader(Process):
    """Twisted's child process, in a session of its own.

    Attributes:
        leads: whether the process got that session.
    """

    leads = False

    def _fork(
        self,
        path: Any,
        uid: Any,
        gid: Any,
        executable: Any,
        args: Any,
        environment: Any,
        **kwargs: Any,
    ) -> None:
        # Twisted cannot start a new session, neither by fork nor by posix_spawn. Popen runs no
        # Python code between fork and exec, and raises here if the program cannot be run.
        fdmap = kwargs["fdmap"]
        popen = subprocess.Popen(
            args,
            cwd=path,
            env=environment,
            start_new_session=True,
            stdin=fdmap[0],
            stdout=fdmap[1],
            stderr=fdmap[2],
        )
        self.pid, self.leads = popen.pid, True
        # Twisted collects the exit status. A returncode keeps Popen from collecting it as well.
        popen.returncode = 0


@define(eq=False)
class Child(ProcessProtocol):
    """A child process and its group, until the last of them has ended.

    Attributes:
        reactor: the reactor that runs it.
        args: the program and its arguments.
        cwd: its working directory; None for that of this process.
        env: its environment; None for that of this process.
        stdin: the bytes it can read from its standard input.
        grace: seconds between TERM and KILL.
        keep: how many bytes to keep from the end of its standard error.
        is_started: whether it was started; it may have ended since.
        place: names its process id once it has started.
    """

    reactor: Any
    args: list[Argument]
    cwd: Argument | None
    env: Mapping[str, str] | None
    stdin: bytes
    grace: float
    keep: int
    is_started: bool = False
    place: Place = field(factory=lambda: Place("a process that has not begun"))
    _stdout: Inflow = field(factory=Inflow)
    _stderr: bytearray = field(factory=bytearray)
    _status: int | None = None
    _group: int = 0
    _kill: IDelayedCall | None = None
    _given_up: float | None = None
    _has_ended: bool = False
    _is_gone: bool = False
    _waiting: list[Wait[None]] = field(factory=list)

    async def read(self) -> bytes:
        """Return some of the child's output, or nothing at the end; the first call starts it.

        Raises:
            OSError: the program could not be run.
        """
        if not self.is_started:
            await begin("a process", self._start)
        return await self._stdout.get(self.place)

    def _start(self) -> Deferred[None]:
        if _CAN_LEAD:
            _Leader(self.reactor, self.args[0], self.args, self.env, self.cwd, self)
        else:
            # The child is in this process's group, so only the child itself can be signalled.
            args = [os.fsencode(each) for each in self.args]
            self.reactor.spawnProcess(self, args[0], args, self.env, self.cwd)
        return succeed(None)

    def completed(self, output: bytes | None) -> Completed:
        """How the child ended."""
        status: Any = self._status
        return subprocess.CompletedProcess(self.args, status, output, bytes(self._stderr))

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._stdout.producer = transport
        leads = getattr(transport, "leads", False)
        self._group, self.is_started = transport.pid if leads else 0, True
        self.place.text = f"process {transport.pid}{' and its group' if leads else ''}"
        transport.write(self.stdin)
        transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        if self._kill is None:
            self._stdout.put(data)

    def errReceived(self, data: bytes) -> None:
        self._stderr += data
        del self._stderr[: -self.keep]

    def processExited(self, reason: Failure) -> None:
        ended: Any = reason.value
        self._status = -ended.signal if ended.signal else ended.exitCode
        if self._kill is not None:
            self._await_group()

    def processEnded(self, reason: Failure) -> None:
        # The child has exited, and its pipes are closed.
        self._has_ended = True
        self._stdout.end()
        if self._kill is None:
            if _has_members(self._group):
                self.stop()
            else:
                self._gone()

    def stop(self) -> None:
        """Ask the group to end, and kill what is left after the grace period; idempotent."""
        if self._kill is not None or self._is_gone:
            return
        self._signal(signal.SIGTERM)
        self._kill = self.reactor.callLater(self.grace, self._end)
        transport: Any = self.transport
        # A paused transport does not notice the end of its pipe.
        transport.resumeProducing()
        if self._status is not None:
            self._await_group()

    def _end(self) -> None:
        self._signal(signal.SIGKILL)
        self._given_up = self.reactor.seconds() + _AFTER_KILL

    def _signal(self, number: int) -> None:
        transport: Any = self.transport
        with suppress(ProcessLookupError, ProcessExitedAlready):
            try:
                if self._group:
                    os.killpg(self._group, number)
                else:
                    transport.signalProcess(number)
            except PermissionError:
                # Everything left in the group runs as another user: sudo started it, for example.
                log.warn("{place} could not be stopped: no permission", place=self.place.text)

    def when_gone(self) -> Deferred[None]:
        """Return a Deferred that fires when no process of the group is left.

        Cancelling it stops the group. It then fails once the group is gone, however often it is
        cancelled.
        """
        wait: Wait[None] = Wait(lambda _: self.stop())
        waiting = wait.deferred
        assert waiting is not None
        place(waiting, self.place)
        if self._is_gone:
            wait.end(None)
        else:
            self._waiting.append(wait)
        return waiting

    def _await_group(self, pause: float = _FIRST_LOOK) -> None:
        transport: Any = self.transport
        is_left = self._given_up is None or self.reactor.seconds() < self._given_up
        if is_left and _has_members(self._group):
            pause = min(2 * pause, _LONGEST_PAUSE)
        elif self._has_ended:
            self._gone()
            return
        else:
            # A process outside the group has inherited a pipe, so the pipe does not close.
            transport.loseConnection()
        self.reactor.callLater(pause, self._await_group, pause)

    def _gone(self) -> None:
        self._is_gone = True
        if self._kill is not None and self._kill.active():
            self._kill.cancel()
        for wait in self._waiting:
            wait.end(None)


def _has_members(group: int) -> bool:
    if not group:
        return False
    # The first process of a container inherits orphans, and must collect them.
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

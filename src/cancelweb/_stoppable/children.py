"""A child process that leads a group of its own, and how the whole group is stopped.

Its output is handed on by `processes`.
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
"""Nobody tells when a group has become empty: seconds between two looks, doubled each time."""

_AFTER_KILL = 1.0
"""Seconds in which KILL ends whatever is left. What can still be seen then is dead: zombies whose
new parent, the system's first process, does not collect them."""


_CAN_LEAD = check("processes")


class _Leader(Process):
    """Twisted's child process, but in a session of its own.

    Attributes:
        leads: whether it has got that session.
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
        # Twisted knows no way to ask for a new session, neither where it forks nor where it uses
        # posix_spawn. Python's own way does not run Python between fork and exec, and raises
        # here if the program cannot be run.
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
        # Twisted collects the exit status. Without one here, Popen would do it some day.
        popen.returncode = 0


@define(eq=False)
class Child(ProcessProtocol):
    """A child and its group, from its start to the end of the last of them.

    Attributes:
        reactor: what runs it.
        args: the program and its arguments.
        cwd: where it runs, if not here.
        env: its environment, if it is not ours.
        stdin: what it can read.
        grace: seconds between TERM and KILL.
        keep: how many bytes of the end of its error output are kept.
        is_started: whether it was started; it may have ended since.
        place: tells its process's id.
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
        """Some of its output, empty at the end; the first time the child is started.

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
            # Its group is ours: the child alone can be signalled.
            args = [os.fsencode(each) for each in self.args]
            self.reactor.spawnProcess(self, args[0], args, self.env, self.cwd)
        return succeed(None)

    def completed(self, output: bytes | None) -> Completed:
        """How it ended."""
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
        # It has exited, and its pipes are closed.
        self._has_ended = True
        self._stdout.end()
        if self._kill is None:
            if _has_members(self._group):
                self.stop()
            else:
                self._gone()

    def stop(self) -> None:
        """Ask the group to end, once, and see to it that it does."""
        if self._kill is not None or self._is_gone:
            return
        self._signal(signal.SIGTERM)
        self._kill = self.reactor.callLater(self.grace, self._end)
        transport: Any = self.transport
        # What is paused does not see the end of its pipe.
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
                # All that is left of it runs for another user, as what sudo starts does.
                log.warn("{place} may not be stopped by this process", place=self.place.text)

    def when_gone(self) -> Deferred[None]:
        """Fires when no process of the group is left.

        Cancelled, it stops the group, and fails when that is so, however often it is cancelled.
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
            # Somebody outside the group has inherited a pipe.
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
    # The first process of a container inherits orphans, and has to collect them.
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

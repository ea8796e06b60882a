"""A child process and what it says, until it and its whole process group have ended.

`leaders` starts it and signals its group; `processes` hands its output on.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall

from .._kinds.where import Place, place
from .._log import log
from .._scopes.refusal import begin
from .._scopes.waits import Wait
from .delays import Delay
from .descriptors import FIRST_LOOK, LONGEST_PAUSE, ExitNotice, Reader, Writer
from .inflow import Inflow
from .leaders import Argument, Leader

Completed = subprocess.CompletedProcess[bytes]

_AFTER_KILL = 1.0
"""Seconds that KILL is given to work. What still runs then belongs to another user, or waits in the
kernel for a device."""


@define(eq=False)
class Child:
    """A child process and its group, until the last of them has ended.

    Attributes:
        reactor: the reactor that runs it.
        args: the program and its arguments.
        cwd: its working directory; None for that of this process.
        env: its environment; None for that of this process.
        stdin: the bytes it can read from its standard input.
        grace: seconds between TERM and KILL.
        wait_delay: seconds for which its output is read after its exit, at most; None for no limit.
        keep: how many bytes to keep from the end of its standard error.
        place: names its process id once it has started.
    """

    reactor: Any
    args: list[Argument]
    cwd: Argument | None
    env: Mapping[str, str] | None
    stdin: bytes
    grace: float
    wait_delay: float | None
    keep: int
    place: Place = field(factory=lambda: Place("a process that has not begun"))
    _stdout: Inflow = field(factory=Inflow)
    _stderr: bytearray = field(factory=bytearray)
    _leader: Leader | None = None
    _outputs: tuple[Reader, ...] = ()
    _input: Writer | None = None
    _has_exited: bool = False
    _is_stopping: bool = False
    _is_gone: bool = False
    _status: int | None = None
    _delay: Delay | None = None
    """Ends the reading after the exit."""
    _timer: IDelayedCall | None = None
    """Has the group stopped, or killed."""
    _given_up: float | None = None
    _waiting: list[Wait[None]] = field(factory=list)

    @property
    def is_started(self) -> bool:
        """Whether it was started; it may have ended since."""
        return self._leader is not None

    async def read(self) -> bytes:
        """Return some of the child's output, or nothing at the end; the first call starts it.

        Raises:
            OSError: the program could not be run.
            RuntimeError: it was started without a process group of its own, and killed.
        """
        if not self.is_started:
            await begin("a process", self._start)
        return await self._stdout.get(self.place)

    def _start(self) -> Deferred[None]:
        leader = self._leader = Leader.start(self.args, self.cwd, self.env)
        self.place.text = f"process {leader.pid} and its group"
        self._input = Writer(self.reactor, leader.stdin, self.stdin)
        stdout = Reader(self.reactor, leader.stdout, self._out_received, self._output_ended)
        stderr = Reader(self.reactor, leader.stderr, self._err_received, self._output_ended)
        self._stdout.producer, self._outputs = self, (stdout, stderr)
        ExitNotice(self.reactor, leader, self._exited).watch()
        return succeed(None)

    def completed(self, output: bytes | None) -> Completed:
        """How the child ended."""
        status: Any = self._status
        return subprocess.CompletedProcess(self.args, status, output, bytes(self._stderr))

    # --- while it runs ---

    def _out_received(self, data: bytes) -> None:
        if not self._is_stopping:
            self._stdout.put(data)

    def _err_received(self, data: bytes) -> None:
        self._stderr += data
        del self._stderr[: -self.keep]

    def pauseProducing(self) -> None:
        """The reader is slow. That time is not part of the delay."""
        self._outputs[0].pauseProducing()
        if self._delay is not None:
            self._delay.pause()

    def resumeProducing(self) -> None:
        """The reader has taken what there was; idempotent."""
        self._outputs[0].resumeProducing()
        if self._delay is not None:
            self._delay.resume()

    # --- until all output has been read ---

    def _exited(self) -> None:
        self._has_exited = True
        if self._is_stopping:
            self.reactor.callLater(0, self._await_group)
        elif not self._is_open():
            self._stop_the_rest()
        elif self.wait_delay is not None:
            self._delay = Delay(self.reactor, self.wait_delay, self._end_reading)
            if not self._stdout.is_full:
                self._delay.resume()

    def _output_ended(self) -> None:
        if self._has_exited and not self._is_stopping and not self._is_open():
            self._stop_the_rest()

    def _is_open(self) -> bool:
        return any(each.is_open for each in self._outputs)

    def _end_reading(self) -> None:
        log.info(
            "{place}: the program has exited, but {delay} s later another process still holds its "
            "output open, so cancelweb closes it",
            place=self.place.text,
            delay=self.wait_delay,
        )
        for each in self._outputs:
            each.read_rest()
        self._close()
        self._stop_the_rest()

    def _stop_the_rest(self) -> None:
        # In the next turn, because all children that have exited in this one share a look.
        self._disarm()
        self._timer = self.reactor.callLater(0, self.stop)

    # --- until its group is gone ---

    def stop(self) -> None:
        """Ask the group to end, and kill what is left after the grace period; idempotent.

        If the child has exited and nothing else is in its group, the signal has no effect.
        """
        if self._is_stopping or self._is_gone:
            return
        self._disarm()
        self._is_stopping = True
        self._signal(signal.SIGTERM)
        self._timer = self.reactor.callLater(self.grace, self._kill)
        # The child may wait until its output is read.
        self.resumeProducing()
        if self._has_exited:
            self._await_group()

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._given_up = self.reactor.seconds() + _AFTER_KILL

    def _signal(self, number: int) -> None:
        try:
            self._led().signal(number)
        except PermissionError:
            # Some systems say this of zombies, too.
            if self._led().group_may_run():
                # All that is left of the group runs as another user: sudo started it, for example.
                log.warn("{place} could not be stopped: no permission", place=self.place.text)

    def _await_group(self, pause: float = FIRST_LOOK) -> None:
        if not self._led().group_may_run():
            self._gone()
        elif self._given_up is None or self.reactor.seconds() < self._given_up:
            self.reactor.callLater(pause, self._await_group, min(2 * pause, LONGEST_PAUSE))
        else:
            log.warn("{place}: it runs after KILL, and is let go", place=self.place.text)
            self._gone()

    def _gone(self) -> None:
        self._is_gone = True
        self._disarm()
        self._close()
        # Otherwise the two would form a cycle.
        self._stdout.producer = self._outputs[0]
        self._status = self._led().collect()
        self._stdout.end()
        waiting, self._waiting = self._waiting, []
        for wait in waiting:
            wait.end(None)

    def _disarm(self) -> None:
        delay, self._delay = self._delay, None
        if delay is not None:
            delay.pause()
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _close(self) -> None:
        assert self._input is not None
        self._input.close()
        for each in self._outputs:
            each.close()

    def _led(self) -> Leader:
        assert self._leader is not None
        return self._leader

    def when_gone(self) -> Deferred[None]:
        """Return a Deferred that fires when no process of the group runs.

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

"""A child process and what it says, until it and its whole process group have ended.

`groups` stops it; `processes` hands its output on.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed

from .._kinds.where import Place, place
from .._log import log
from .._scopes.refusal import begin
from .._scopes.waits import Wait
from .delays import Delay
from .descriptors import ExitNotice, Reader, Writer
from .groups import Group
from .inflow import Inflow
from .leaders import Argument, Leader

Completed = subprocess.CompletedProcess[bytes]


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
    _group: Group | None = None
    _outputs: tuple[Reader, ...] = ()
    _input: Writer | None = None
    _status: int | None = None
    _delay: Delay | None = None
    """Ends the reading after the exit."""
    _waiting: list[Wait[None]] = field(factory=list)

    @property
    def is_started(self) -> bool:
        """Whether it was started; it may have ended since."""
        return self._group is not None

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
        leader = Leader.start(self.args, self.cwd, self.env)
        assert leader.stdout and leader.stderr
        self.place.text = f"process {leader.pid} and its group"
        self._group = Group(self.reactor, leader, self.grace, self.place, self._gone)
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
        if not self._started().is_stopping:
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
        group = self._started()
        group.exited()
        if group.is_stopping:
            return
        if not self._is_open():
            self._stop_the_rest()
        elif self.wait_delay is not None:
            self._delay = Delay(self.reactor, self.wait_delay, self._end_reading)
            if not self._stdout.is_full:
                self._delay.resume()

    def _output_ended(self) -> None:
        group = self._started()
        if group.has_exited and not group.is_stopping and not self._is_open():
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
        self._disarm()
        self._started().stop_the_rest()

    # --- until its group is gone ---

    def stop(self) -> None:
        """Stop the group, as `Group.stop` does; idempotent."""
        group = self._started()
        if not (group.is_stopping or group.is_gone):
            self._disarm()
            group.stop()
            # The child may wait until its output is read.
            self.resumeProducing()

    def _gone(self) -> None:
        self._disarm()
        self._close()
        # Otherwise the two would form a cycle.
        self._stdout.producer = self._outputs[0]
        self._status = self._started().leader.collect()
        self._stdout.end()
        waiting, self._waiting = self._waiting, []
        for wait in waiting:
            wait.end(None)

    def _disarm(self) -> None:
        delay, self._delay = self._delay, None
        if delay is not None:
            delay.pause()

    def _close(self) -> None:
        assert self._input is not None
        self._input.close()
        for each in self._outputs:
            each.close()

    def _started(self) -> Group:
        assert self._group is not None
        return self._group

    def when_gone(self) -> Deferred[None]:
        """Return a Deferred that fires when no process of the group runs.

        Cancelling it stops the group. It then fails once the group is gone, however often it is
        cancelled.
        """
        wait: Wait[None] = Wait(lambda _: self.stop())
        waiting = wait.deferred
        assert waiting is not None
        place(waiting, self.place)
        if self._started().is_gone:
            wait.end(None)
        else:
            self._waiting.append(wait)
        return waiting

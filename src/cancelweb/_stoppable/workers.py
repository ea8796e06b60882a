"""A child process of a pool, as its server sees it: it is free, makes a call, or ends.

`pool_child` is what runs in the child; `pool` decides which call it makes.
"""

from __future__ import annotations

import pickle
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing import spawn
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import CancelledError
from twisted.internet.fdesc import readFromFD, writeToFD
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

from .._kinds.where import Place
from . import pool_child
from .descriptors import ExitNotice
from .groups import Group
from .leaders import Leader
from .pool_calls import Call

_PROGRAM = str(Path(pool_child.__file__))


class ChildDied(RuntimeError):
    """A child process of a pool ended by itself while it made a call.

    Attributes:
        pid: its process id.
        status: its exit status, which is negative if a signal ended it.
    """

    __module__ = "cancelweb.processes"

    def __init__(self, message: str, pid: int, status: int) -> None:
        super().__init__(message)
        self.pid, self.status = pid, status


class _Channel(FileDescriptor):
    """The server's end of the connection to a child.

    It is watched only while a message from the child is awaited.
    """

    def __init__(
        self,
        reactor: Any,
        end: socket.socket,
        received: Callable[[bytes], object],
        lost: Callable[[], object],
    ) -> None:
        super().__init__(reactor)
        end.setblocking(False)
        self._end, self._received, self._lost = end, received, lost
        self._data, self.connected = bytearray(), 1

    def send(self, message: bytes) -> None:
        """Send a message, and await one."""
        self.write(pool_child.framed(message))
        # At once, as the code of this turn may take long. The reactor sends what is left.
        self.doWrite()
        self.startReading()

    def fileno(self) -> int:
        return self._end.fileno()

    def writeSomeData(self, data: bytes) -> int | BaseException:
        written: int | BaseException = writeToFD(self.fileno(), data)
        return written

    def doRead(self) -> Exception | None:
        lost: Exception | None = readFromFD(self.fileno(), self._arrived)
        return lost

    def _arrived(self, data: bytes) -> None:
        self._data += data
        size = pool_child.HEAD + int.from_bytes(self._data[: pool_child.HEAD], "big")
        if len(self._data) >= size:
            message, self._data = bytes(memoryview(self._data)[pool_child.HEAD :]), bytearray()
            self.stopReading()
            self._received(message)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self._end.close()
        lost, self._lost, self._received = self._lost, _nothing, _nothing
        lost()


@define(eq=False)
class Worker:
    """A child process that makes one call at a time.

    The reactor watches it only while it starts, makes a call or ends. So a pool without calls
    leaves nothing in the reactor, and a free child that has died is noticed by the next call.

    Attributes:
        reactor: the reactor that watches.
        grace: seconds between TERM and KILL.
        freed: called with this when the child can make a call.
        gone: called with this when the child and its group have ended.
        call: the call that it makes.
        is_ready: whether it has started, and could make a call.
        is_stopped: whether it was asked to end.
        status: the exit status, once it is gone.
    """

    reactor: Any
    grace: float
    freed: Callable[[Worker], object]
    gone: Callable[[Worker], object]
    call: Call | None = field(default=None, init=False)
    is_ready: bool = field(default=False, init=False)
    is_stopped: bool = field(default=False, init=False)
    status: int = field(default=0, init=False)
    _leader: Leader = field(init=False)
    _group: Group = field(init=False)
    _channel: _Channel = field(init=False)
    _notice: ExitNotice = field(init=False)

    def __attrs_post_init__(self) -> None:
        python, (ours, theirs) = _python(), socket.socketpair()
        command = [*python, _PROGRAM, str(theirs.fileno())]
        try:
            self._leader = Leader.start(command, output=None, pass_fds=[theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        place = Place(f"process {self.pid} of a pool and its group")
        self._group = Group(self.reactor, self._leader, self.grace, place, self._gone)
        self._channel = _Channel(self.reactor, ours, self._received, self._stop)
        self._notice = ExitNotice(self.reactor, self._leader, self._exited)
        self._send(pickle.dumps(_facts()))

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._leader.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs; if it has ended, it will be gone soon."""
        if self._leader.has_exited() and not self._group.has_exited:
            self._exited()
        return not self._group.has_exited

    def run(self, call: Call) -> None:
        """Make a call. The child must be free."""
        self.call = call
        call.stop = self.stop
        call.place.text = f"process {self.pid}, {call.name}"
        self._send(call.message)

    def _send(self, message: bytes) -> None:
        self._channel.send(message)
        self._notice.watch()

    def _received(self, message: bytes) -> None:
        self._notice.ignore()
        call, self.call, self.is_ready = self.call, None, True
        if call is not None:
            # It is over: a cancel must not stop what the child does next.
            call.stop = _nothing
        # The next call begins first, because code that gets a result may take long.
        self.freed(self)
        if call is not None:
            call.returned(message)

    def stop(self) -> None:
        """Stop the child and its group, as `Group.stop` does; idempotent."""
        self.is_stopped = True
        self._stop()

    def _stop(self) -> None:
        self._channel.stopReading()
        if not (self._group.has_exited or self._group.is_gone):
            self._notice.ignore()
            self._notice.watch()
        self._group.stop()

    def kill_now(self) -> None:
        """Kill the child and its group. The reactor stops: call `block_until_gone` next."""
        self.is_stopped = True
        self._group.kill_now()

    def block_until_gone(self) -> None:
        """Block until the killed group has ended."""
        self._group.block_until_gone()

    def _exited(self) -> None:
        self._group.exited()
        if not self._group.is_stopping:
            self._group.stop_the_rest()

    def _gone(self) -> None:
        self._notice.ignore()
        self._notice.exited = _nothing  # Otherwise the two would form a cycle.
        self.status = self._leader.collect()
        self._channel.connectionLost(Failure(CONNECTION_DONE))
        self._leader.stdin.close()
        self.gone(self)

    def failure_of(self, call: Call) -> Failure:
        """The failure of a call that the child made, or was to make, when it ended."""
        if self.is_stopped:
            return Failure(CancelledError())
        when = "while it ran" if self.is_ready else "before it could run"
        text = f"process {self.pid} {_words(self.status)} {when} {call.name}"
        return Failure(ChildDied(text, self.pid, self.status))


def _words(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _python() -> list[str]:
    """The command that starts Python with the options of this process."""
    if getattr(sys, "frozen", False):
        raise RuntimeError(f"{sys.executable} is a frozen program: run the server with Python")
    command: list[str] = spawn.get_command_line()
    # -P keeps the directory of the program out of sys.path. -u: nothing flushes what a function
    # has printed when its child is stopped.
    return [*command[: command.index("-c")], "-P", "-u"]


def _facts() -> dict[str, object]:
    facts = spawn.get_preparation_data("cancelweb")
    main = {key: facts[key] for key in facts if key.startswith("init_main_from_")}
    return {"main": main, "sys_path": facts["sys_path"], "sys_argv": facts["sys_argv"]}


def _nothing(*_: object) -> None:
    """Stands for the functions that a child calls, once it is gone."""

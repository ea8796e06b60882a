"""What the reactor watches of a child process: the ends of its pipes, and its exit."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from fcntl import ioctl
from termios import FIONREAD
from typing import IO, Any

from attrs import define, field
from twisted.internet.fdesc import readFromFD, writeToFD
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor, IWriteDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure
from zope.interface import implementer

from .leaders import Leader

FIRST_LOOK, LONGEST_PAUSE = 0.001, 0.05
"""Seconds between two looks at a process, doubled each time, where nothing reports its end."""

_WRITTEN_AT_ONCE = 2**16


@implementer(IReadDescriptor)
@define(eq=False)
class Reader:
    """The end of a pipe from which a child's output is read, until it is closed.

    Attributes:
        reactor: the reactor that watches the pipe.
        file: the end of the pipe.
        received: called with each chunk.
        ended: called when no process holds the other end any more; not called after `close`.
    """

    reactor: Any
    file: IO[bytes]
    received: Callable[[bytes], object]
    ended: Callable[[], object]

    def __attrs_post_init__(self) -> None:
        os.set_blocking(self.file.fileno(), False)
        self.resumeProducing()

    @property
    def is_open(self) -> bool:
        """Whether output may still be read."""
        return not self.file.closed

    def read_rest(self) -> None:
        """Read what is in the pipe now, at most what a pipe can hold."""
        if self.is_open:
            available = ioctl(self.file.fileno(), FIONREAD, bytes(4))
            count = int.from_bytes(available, sys.byteorder)
            if count:
                self.received(os.read(self.file.fileno(), count))

    def close(self) -> None:
        """Read no more; idempotent."""
        if self.is_open:
            self.reactor.removeReader(self)
            self.file.close()
            # The child refers to this object, and its methods to the child.
            self.received = self.ended = _nothing

    def logPrefix(self) -> str:
        return "output of a process"

    def fileno(self) -> int:
        return self.file.fileno() if self.is_open else -1

    def doRead(self) -> Any:
        return readFromFD(self.file.fileno(), self.received)

    def connectionLost(self, reason: Failure) -> None:
        ended = self.ended
        self.close()
        ended()

    def pauseProducing(self) -> None:
        self.reactor.removeReader(self)

    def resumeProducing(self) -> None:
        if self.is_open:
            self.reactor.addReader(self)


@implementer(IWriteDescriptor)
@define(eq=False)
class Writer:
    """The end of a pipe to which a child's input is written; it is closed after the last byte.

    Attributes:
        reactor: the reactor that watches the pipe.
        file: the end of the pipe.
    """

    reactor: Any
    file: IO[bytes]
    _left: memoryview = field(converter=memoryview)

    def __attrs_post_init__(self) -> None:
        if self._left:
            os.set_blocking(self.file.fileno(), False)
            self.reactor.addWriter(self)
        else:
            self.file.close()

    def close(self) -> None:
        """Write no more; idempotent."""
        if not self.file.closed:
            self.reactor.removeWriter(self)
            self.file.close()

    def logPrefix(self) -> str:
        return "input of a process"

    def fileno(self) -> int:
        return -1 if self.file.closed else self.file.fileno()

    def doWrite(self) -> Any:
        written = writeToFD(self.file.fileno(), self._left[:_WRITTEN_AT_ONCE])
        if isinstance(written, Exception):
            return written
        self._left = self._left[written:]
        return None if self._left else CONNECTION_DONE

    def connectionLost(self, reason: Failure) -> None:
        self.close()


@implementer(IReadDescriptor)
@define(eq=False)
class ExitNotice:
    """Calls a function once a process has exited: by its ``pidfd``, or else by looking again.

    Attributes:
        reactor: the reactor that watches.
        leader: the process.
        exited: the function.
    """

    reactor: Any
    leader: Leader
    exited: Callable[[], object]
    _timer: IDelayedCall | None = field(default=None, init=False)

    def watch(self) -> None:
        """Begin to watch. The call may come at once."""
        if self.leader.pidfd is None:
            self._look()
        else:
            self.reactor.addReader(self)

    def ignore(self) -> None:
        """Watch no more, until the next `watch`."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self.reactor.removeReader(self)

    def _look(self, pause: float = FIRST_LOOK) -> None:
        self._timer = None
        if self.leader.has_exited():
            self.exited()
        else:
            pause_after = min(2 * pause, LONGEST_PAUSE)
            self._timer = self.reactor.callLater(pause, self._look, pause_after)

    def logPrefix(self) -> str:
        return "exit of a process"

    def fileno(self) -> int:
        pidfd = self.leader.pidfd
        return -1 if pidfd is None else pidfd

    def doRead(self) -> None:
        # An event may be meant for a descriptor that had the same number before.
        if self.leader.has_exited():
            self.reactor.removeReader(self)
            self.exited()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is shutting down."""


def _nothing(*_: object) -> None:
    """Stands for the functions of a closed pipe."""

"""The first process of a process group, which keeps the group's id from being given away.

It is started, and signalled together with its group, here; `members` tells what is left of a group.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from attrs import define

from .._log import log
from .members import Rest, is_running

Argument = str | bytes | os.PathLike[str] | os.PathLike[bytes]

_UNKNOWN = 255
"""The exit status of a process whose status other code has collected; the same as in asyncio."""

HELD: set[int] = set()
"""The ids of the leaders that were started and whose exit status has not been collected: they run,
or something of their group or their output is still awaited."""


@define(eq=False)
class Leader:
    """A child process that leads its session and its process group.

    *Invariant:* the group is signalled only while the leader's exit status has not been collected.
    Until then the leader runs or is a zombie, and the kernel gives its id to no other process or
    group. Afterwards, an empty group's id may belong to an unrelated group. So the exit status
    stays with the kernel until the group is done. The exit is noticed without collecting it.

    That holds on all systems. A file descriptor for each member (``pidfd``) would protect a signal,
    too, but only on Linux, and a process that a member starts in that moment would escape. The
    leader itself has a ``pidfd`` where the system has it. It reports the exit to the reactor. If
    other code has collected the status, it also tells the leader from a later child with its id.

    Attributes:
        pid: its process id, and the id of the group.
        pidfd: a file descriptor that becomes readable when it has exited; None without ``pidfd``.
        stdin: the end of a pipe to its standard input.
        stdout: the end of a pipe from its standard output, or None if it has that of this process.
        stderr: the end of a pipe from its standard error, or None likewise.
    """

    pid: int
    pidfd: int | None
    stdin: IO[bytes]
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None
    _is_held: bool = True
    _rest: Rest | None = None
    """What is left of the group; None until the exit of the leader is noticed."""

    @classmethod
    def start(
        cls,
        args: Sequence[Argument],
        cwd: Argument | None = None,
        env: Mapping[str, str] | None = None,
        output: int | None = subprocess.PIPE,
        pass_fds: Sequence[int] = (),
    ) -> Leader:
        """Run a program in a session and a group of its own.

        Args:
            args: the program and its arguments.
            cwd: its working directory; None for that of this process.
            env: its environment; None for that of this process.
            output: None for the standard output and error of this process, instead of pipes.
            pass_fds: file descriptors that it inherits.

        Raises:
            OSError: the program could not be run.
            RuntimeError: it does not lead a group of its own, so what it starts could not be
                stopped. It has been killed.
        """
        popen = subprocess.Popen(
            args,
            bufsize=0,
            cwd=cwd,
            env=env,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
        )
        if not _leads(popen.pid):
            with popen:
                popen.kill()
            raise RuntimeError(
                f"{args[0]!r} was started without a process group of its own, so cancelweb could "
                "not stop what it starts, and has killed it. Has another package replaced "
                "subprocess.Popen? It must support start_new_session=True."
            )
        # This class collects the exit status. A returncode keeps Popen from collecting it.
        popen.returncode = 0
        HELD.add(popen.pid)
        assert popen.stdin is not None
        return cls(popen.pid, _pidfd(popen.pid), popen.stdin, popen.stdout, popen.stderr)

    def has_exited(self) -> bool:
        """Whether the process has exited. Its exit status is not collected."""
        if self._is_held:
            try:
                if self._look() and self._rest is None:
                    self._rest = Rest(self.pid)
            except ChildProcessError:
                self._lose()
        return self._rest is not None or not self._is_held

    def _lose(self) -> None:
        self._is_held = False
        log.warn(
            "process {pid}: other code in this program has collected its exit status, so cancelweb "
            "reports status {status} and can no longer signal its group",
            pid=self.pid,
            status=_UNKNOWN,
        )

    def _look(self) -> bool:
        if not hasattr(os, "waitid"):
            # Python has it for macOS since 3.13.
            return not is_running(self.pid)
        identity = (os.P_PID, self.pid) if self.pidfd is None else (os.P_PIDFD, self.pidfd)
        return os.waitid(*identity, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def group_may_run(self) -> bool:
        """Whether a process of the group runs, the leader included. In doubt, ask again soon."""
        if not self.has_exited():
            return True
        return self._is_held and self._rest is not None and self._rest.may_run()

    def signal(self, number: int) -> None:
        """Signal the whole group. Does nothing once the exit status has been collected.

        Raises:
            PermissionError: all that is left of the group runs as another user.
        """
        self.has_exited()
        if self._is_held:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def collect(self) -> int:
        """Collect the exit status and return it. Call this once, after the exit.

        Returns:
            The status, which is negative if a signal ended the process, or 255 if other code has
            collected it, or if the process still runs because nothing could end it.
        """
        self.has_exited()
        status = self._wait() if self._is_held else _UNKNOWN
        self._is_held = False
        HELD.discard(self.pid)
        if self.pidfd is not None:
            os.close(self.pidfd)
        return status

    def _wait(self) -> int:
        try:
            # Without waiting, because what has outlived KILL may run for hours.
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            # Another thread has collected it just now.
            self._lose()
            return _UNKNOWN
        return os.waitstatus_to_exitcode(status) if pid else _UNKNOWN


def _leads(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        # It has exited already; some systems do not tell the group of a zombie.
        return True


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        # Not Linux, an old kernel, or a container that forbids it.
        return None

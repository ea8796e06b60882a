"""Which processes of a process group still run, and which are zombies.

The system's list of processes tells: `/proc` on Linux, `ps` elsewhere.
"""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress

from attrs import define, field, frozen

_DOUBTS = 3
"""How often to look again, at most, for what was started by processes that ended during a look."""


@frozen
class Member:
    """A process of a group, at the time of a look.

    Attributes:
        pid: its id.
        parent: the id of its parent.
        is_running: whether it runs. If not, it is a zombie: it has exited, but its parent has not
            collected its exit status.
    """

    pid: int
    parent: int
    is_running: bool


@define(eq=False)
class Census:
    """A list of all processes of the system. Children that end at the same time share one.

    *Invariant:* if a group had no member but its leader, and the leader was a zombie already, the
    group stays empty: only a member can start another one. So a census that was taken after the
    exit of a leader tells for good that its group is empty. It may be out of date for other groups,
    and then names processes that have ended, which leads to another census.

    Attributes:
        number: how many were taken so far.
    """

    number: int = 0
    _groups: defaultdict[int, list[int]] = field(factory=lambda: defaultdict(list))

    def of(self, group: int, since: int) -> list[int]:
        """The ids of a group's processes; from a census with a higher number than ``since``."""
        if self.number <= since:
            self.number += 1
            self._groups.clear()
            for name in os.listdir("/proc"):
                if name.isdigit():
                    self._groups[_group_of(int(name))].append(int(name))
        return self._groups.get(group, [])


CENSUS = Census()

_GONE = -1
"""Stands for the group of processes that ended while the census was taken."""


def _group_of(pid: int) -> int:
    # This is ten times as fast as to read about each process.
    try:
        return os.getpgid(pid)
    except OSError:
        return _GONE


def is_running(pid: int) -> bool:
    """Whether a process that leads its group runs. A zombie does not run."""
    return any(each.is_running for each in _members(pid, CENSUS.number) if each.pid == pid)


@define(eq=False)
class Rest:
    """What is left of a group whose leader has exited. Make it when the exit has been noticed.

    Attributes:
        group: the id of the group.
    """

    group: int
    _since: int = field(factory=lambda: CENSUS.number)
    _ended: set[int] = field(init=False)
    _doubts: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._ended = {self.group}

    def may_run(self) -> bool:
        """Whether a process runs, or may run: one that ended during this look may have started it.

        In doubt, look again in a moment. Zombies that are children of this process are collected.
        The leader is an exception, because its exit status protects the group's id. (The first
        process of a container inherits the orphans of the group, so it must collect them.) Zombies
        that another init does not collect, or only later, need not be waited for.
        """
        members = list(_members(self.group, self._since))
        if any(each.is_running for each in members):
            return True
        _collect(each for each in members if each.pid != self.group)
        ended = {each.pid for each in members}
        if ended <= self._ended or self._doubts == _DOUBTS:
            return False
        self._ended |= ended
        self._since = CENSUS.number
        self._doubts += 1
        return True


def _collect(zombies: Iterable[Member]) -> None:
    for each in zombies:
        if each.parent == os.getpid():
            with suppress(ChildProcessError):
                os.waitpid(each.pid, os.WNOHANG)


def _members(group: int, since: int) -> Iterator[Member]:
    return _of_proc(group, since) if _has_proc() else _of_ps(group)


def _has_proc() -> bool:
    """Whether `/proc` is that of Linux, and of this process's namespace."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _of_proc(group: int, since: int) -> Iterator[Member]:
    for pid in CENSUS.of(group, since):
        try:
            yield _read(pid, group)
        except OSError:
            yield Member(pid, 0, is_running=False)
    for pid in CENSUS.of(_GONE, since):
        yield Member(pid, 0, is_running=False)


def _read(pid: int, group: int) -> Member:
    with open(f"/proc/{pid}/stat", "rb") as file:
        state, parent, of = file.read().rpartition(b")")[2].split()[:3]
    # A process whose first thread has ended looks like a zombie.
    is_zombie = state in b"ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1
    # The id may have been given to another process since the census.
    return Member(pid, int(parent), is_running=not is_zombie and int(of) == group)


def _of_ps(group: int) -> Iterator[Member]:
    columns = [f"-o{each}=" for each in ("pid", "ppid", "pgid", "stat")]
    listed = subprocess.run(["ps", "-A", *columns], capture_output=True, check=True)
    for row in listed.stdout.splitlines():
        pid, parent, of, state = row.split()[:4]
        if int(of) == group:
            yield Member(int(pid), int(parent), not state.startswith(b"Z"))

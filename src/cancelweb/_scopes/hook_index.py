"""Cleanup hooks from which any may be withdrawn, in constant time.

Stands for the list of a `hooks.HookStack` from the moment at which a hook is withdrawn: most scopes
withdraw none, and a list is cheaper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Hook = Callable[[Any], object]

Entry = tuple[Hook, bool]
"""A hook, and whether it is for a cancelled scope only."""


class HookIndex:
    """A stack of hooks, as a list is one, in which hooks are found."""

    def __init__(self, entries: list[Entry]) -> None:
        self._added = 0
        # By serial number, the newest last.
        self._entries: dict[int, Entry] = {}
        # The serial numbers of equal hooks, the newest last. Those of hooks that are gone may be
        # among them: no serial number is given twice, and nothing is found under such a one.
        self._numbers: dict[object, list[int]] = {}
        for entry in entries:
            self.append(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, entry: Entry) -> None:
        """Add a hook."""
        self._entries[self._added] = entry
        self._numbers.setdefault(_key_of(entry[0]), []).append(self._added)
        self._added += 1

    def pop(self) -> Entry:
        """Take the newest hook off."""
        _, entry = self._entries.popitem()
        return entry

    def withdraw(self, hook: Hook) -> bool:
        """Take the newest hook that equals this one out; returns whether there was one."""
        key = _key_of(hook)
        numbers, was_there = self._numbers.pop(key, []), False
        while numbers and not was_there:
            was_there = self._entries.pop(numbers.pop(), None) is not None
        if numbers:
            self._numbers[key] = numbers
        return was_there


def _key_of(hook: Hook) -> object:
    """What equal hooks have in common; one that has no hash equals itself alone."""
    try:
        hash(hook)
    except TypeError:
        return id(hook)
    return hook

"""An index of cleanup hooks, from which any hook can be withdrawn in constant time.

It replaces the list in a `hooks.HookStack` when a hook is withdrawn for the first time. Most scopes
withdraw no hook, and a list is cheaper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Hook = Callable[[Any], object]

Entry = tuple[Hook, bool]
"""A hook, and whether it runs only if the scope was cancelled."""


class HookIndex:
    """A stack of hooks, like a list, that finds each hook by equality."""

    def __init__(self, entries: list[Entry]) -> None:
        self._added = 0
        # By serial number, the newest last.
        self._entries: dict[int, Entry] = {}
        # The serial numbers of equal hooks, the newest last. A hook that was popped leaves its
        # number here, which is never used again and has no entry.
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
        """Remove and return the newest hook."""
        _, entry = self._entries.popitem()
        return entry

    def withdraw(self, hook: Hook) -> bool:
        """Remove the newest hook that equals this one; returns whether there was one."""
        key = _key_of(hook)
        numbers, was_there = self._numbers.pop(key, []), False
        while numbers and not was_there:
            was_there = self._entries.pop(numbers.pop(), None) is not None
        if numbers:
            self._numbers[key] = numbers
        return was_there


def _key_of(hook: Hook) -> object:
    """The key that equal hooks share; a hook without a hash equals only itself."""
    try:
        hash(hook)
    except TypeError:
        return id(hook)
    return hook

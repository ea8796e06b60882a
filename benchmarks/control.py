"""A child's commands: a line comes in from its parent, a line of JSON goes out.

Each is answered at once, in the event loop's thread. Who serves, and what, is not known here.
"""

from __future__ import annotations

import gc
import json
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field
from ledger import Books

STDIN, STDOUT = 0, 1
TICK = 0.001
"""Seconds between two looks at how long the event loop stalls."""

KEEP_ALIVE = 600
"""Seconds for which an idle connection is kept, where there must be a limit.

Longer than a crowd takes to gather.
"""

PAGE = os.sysconf("SC_PAGE_SIZE")


def say(what: object) -> None:
    """Send a line to the parent."""
    os.write(STDOUT, json.dumps(what).encode() + b"\n")


@define(eq=False)
class Control:
    """Obeys the parent's commands; `later`, which calls something later, is set by who serves."""

    books: Books
    later: Callable[[float, Callable[[], None]], object] = field(init=False)
    _stall: int = field(default=0, init=False)
    _ticked: int = field(default=0, init=False)
    _collected: int = field(default=0, init=False)

    def read(self) -> None:
        """Obey: there is a command."""
        command = os.read(STDIN, 1000).decode().strip()
        if not command:
            # The parent is gone, and there is nothing to save.
            os._exit(0)
        say(getattr(self, f"do_{command}")())

    def do_status(self) -> dict[str, Any]:
        """All that there is to know, at this moment."""
        return {
            "soon": self.books.soon.counts(),
            "never": self.books.never.counts(),
            "now": time.monotonic(),
            "cpu": time.process_time(),
            "delayed": int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9,
            "resident": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE,
            "stall": self._stall,
            "collected": self._collected,
        }

    def do_trace(self) -> None:
        """Trace memory from now on."""
        tracemalloc.start()

    def do_traced(self) -> int:
        """How much memory is in use, in bytes, of what was traced."""
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    def do_tell(self) -> None:
        """Tell of all that happens to the work that never ends."""
        self.books.never.tell = lambda event, at: say([event, at])

    def do_hold(self) -> dict[str, int]:
        """See and hear nothing until the next line; from then on note stalls and garbage."""
        gc.collect()
        gc.callbacks.append(self._note_collected)
        # Some event loops have made it one that does not block.
        os.set_blocking(STDIN, True)
        say(None)
        os.read(STDIN, 1000)
        self._ticked = time.monotonic_ns()
        self.later(0, self._tick)
        return {"at": self._ticked}

    def do_collect(self) -> int:
        """How many objects only the garbage collector could free, since it was held."""
        gc.collect()
        return self._collected

    def _note_collected(self, phase: str, info: dict[str, int]) -> None:
        self._collected += info.get("collected", 0) if phase == "stop" else 0

    def _tick(self) -> None:
        now = time.monotonic_ns()
        self._stall, self._ticked = max(self._stall, now - self._ticked), now
        self.later(TICK, self._tick)

"""What a monitor knows to be in progress: open scopes, and work that outlives its scope."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import cast

from attrs import define, field

from .._scopes.scope import Scope
from .._still_running import Survivor
from ..interfaces import DetachedWork, MonitoredScope
from .let_go import LetGoWork


@define(eq=False)
class InFlight:
    """The open scopes and the work that still runs; each dictionary has the oldest first.

    Attributes:
        reported: the open scopes, as the entry points report them.
        survivors: the survivors that are still running.
        let_go: the work that was let go and may still be running.
        detached: the detached work that is still running, by its ``id``: work of a user's own kind
            may equal other work, or have no hash.
        detached_at: the line that detached it, with the same keys.
    """

    reported: dict[MonitoredScope, None] = field(factory=dict)
    survivors: dict[Survivor, None] = field(factory=dict)
    let_go: LetGoWork = field(factory=LetGoWork)
    detached: dict[int, DetachedWork] = field(factory=dict)
    detached_at: dict[int, str] = field(factory=dict)

    @property
    def scopes(self) -> Collection[Scope]:
        """A live view of the open scopes."""
        # Every scope that an entry point reports is a `Scope`; `IMonitor` cannot import that class.
        return cast("Collection[Scope]", self.reported.keys())

    def ends(self, count: int) -> list[Scope]:
        """The oldest open scopes and the newest, so many of each at most, the oldest first."""
        # Nothing in between is touched: there may be thousands.
        newest = reversed([*islice(reversed(self.reported), count)])
        found = dict.fromkeys([*islice(self.reported, count), *newest])
        return cast("list[Scope]", [*found])

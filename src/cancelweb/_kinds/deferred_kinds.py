"""How to stop Deferreds, and the coroutines and generators behind them: at the leaves.

What the leaves are is found in `leaves`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import Context
from typing import Any
from weakref import ref

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .._log import log
from .._twisted.access import canceller_of
from .cancellations import forgive
from .cancellers import Canceller, Settled
from .contexts import live_contexts_below, live_contexts_of
from .executors import behind, futures_behind
from .leaves import has_fired, innermost, is_driven_now, is_settled, leaves
from .let_go import LET_GO, Unstopped, may_let_go, unstoppable_of, watch_over_all
from .where import function_at, function_name, lines_of


@define(eq=False)
class DeferredCanceller(Canceller):
    """Cancels what a Deferred waits for; the CancelledError then comes up through the Deferred.

    Attributes:
        work: the Deferred.
        suspended: the coroutine that it was made of, if that is known.
    """

    work: Deferred[Any]
    suspended: object = None
    # Each leaf with the Deferred whose firing tells that the leaf has been reached, or is over:
    # itself, unless the leaf has fired and waits for more. None until `reach` has been called.
    _leaves: list[tuple[Deferred[Any], Deferred[Any]]] | None = field(
        default=None, init=False, repr=False
    )
    # What keeps a failure of its own when a leaf is cancelled.
    _keeping: list[Deferred[Any]] | None = field(default=None, init=False, repr=False)
    # What has come, and was no failure, since `reach` was called.
    _came: list[object] = field(factory=list, init=False, repr=False)
    _unstopped: tuple[Unstopped, ...] = field(default=(), init=False, repr=False)

    @property
    def deferred(self) -> Deferred[Any]:
        """The Deferred of the work's result."""
        return self.work

    def watch(self, settled: Settled) -> None:
        self.work.addCallbacks(settled, settled)

    def reach(self, reached: set[int]) -> None:
        if not is_settled(self.work):
            # Before it fails: a hook may await it from within its own callbacks, and Twisted's
            # ``await`` asks for what this provides.
            forgive(self.work)
        self._find(reached)

    def _find(self, reached: set[int]) -> None:
        is_first = not reached
        self._keeping = []
        found = leaves(self.work, reached, self._keeping)
        self._leaves = [(leaf, innermost(leaf)) for leaf in found]
        for _, last in self._leaves:
            # Only a coroutine or a generator goes on with a result.
            if not is_first and last is not self.work:
                _note_result(last, self._came)

    def cancel(self) -> None:
        if self._leaves is None:
            self._find(set())
        found = self._found_leaves()
        if self._came and all(has_fired(last) for _, last in found):
            # What it waited for has come: the cancel of other work has released a lock, say.
            found = [(leaf, leaf) for leaf in leaves(self.work, set(), self._keeping)]
        self._cancel_leaves(found)
        self._forgive_kept()

    def cancel_rest(self) -> None:
        # A list that one of its members has made fail, say, still has the others. But what the work
        # waits for since then is code that goes on with its result.
        self._cancel_leaves(self._found_leaves())
        self._forgive_kept()

    def _found_leaves(self) -> list[tuple[Deferred[Any], Deferred[Any]]]:
        found, self._leaves = self._leaves or [], None
        for _, last in found:
            vars(last).pop("callback", None)
        return found

    def _cancel_leaves(self, found: list[tuple[Deferred[Any], Deferred[Any]]]) -> None:
        unreached = [leaf for leaf, last in found if not has_fired(last)]
        further = behind(futures_behind(unreached))
        in_vain = unstoppable_of(unreached) + further.deferreds
        # Before the cancel: afterwards it waits no longer.
        told = self.where() if in_vain or further.calls else ""
        self._unstopped = watch_over_all(in_vain, told)
        _cancel_all(found)
        self._unstopped += further.running(told)
        for leaf, _ in found:
            self._unstopped += getattr(leaf, LET_GO, ())

    def _forgive_kept(self) -> None:
        keeping, self._keeping = self._keeping, None
        if keeping:
            _forgive_all(keeping)

    def unstopped(self) -> tuple[Unstopped, ...]:
        return self._unstopped

    def forget(self) -> None:
        self._leaves = None
        self._forgive_kept()
        if is_settled(self.work):
            forgive(self.work)

    def is_driven_now(self, seen: set[int]) -> bool:
        return is_driven_now(self.work, seen)

    def live_contexts(self) -> Iterable[Context]:
        yield from live_contexts_below(self.work)
        for future in futures_behind(leaves(self.work, set())):
            yield from live_contexts_of(future)

    def where(self) -> str:
        start = self.work if self.suspended is None else self.suspended
        return "\n".join(lines_of(start)) or self.describe()

    def describe(self) -> str:
        name = getattr(self.suspended, "__qualname__", None)
        return type(self.work).__name__ if name is None else f"coroutine {name}"


def cancel_simply(deferred: Deferred[Any]) -> bool:
    """Cancel what a Deferred waits for: as a `DeferredCanceller`, at once and of no batch.

    Returns:
        False if nothing was done, because a part of the work may have to be let go.
    """
    keeping: list[Deferred[Any]] = []
    found = leaves(deferred, set(), keeping)
    if any(may_let_go(canceller_of(leaf)) for leaf in found):
        return False
    _cancel_all([(leaf, innermost(leaf)) for leaf in found])
    _forgive_all(keeping)
    return True


def _note_result(leaf: Deferred[Any], came: list[object]) -> None:
    """Note a result with which a Deferred is fired, until its ``callback`` is given back to it."""
    # No cycle: what is never fired is freed with its Deferred.
    here = ref(leaf)

    def callback(result: Any) -> None:
        came.append(result)
        fired = here()
        assert fired is not None
        type(fired).callback(fired, result)

    leaf.callback = callback  # type: ignore[method-assign]


def _cancel_all(found: list[tuple[Deferred[Any], Deferred[Any]]]) -> None:
    for leaf, last in found:
        # Where another cancel has fired it meanwhile, its owner may wait in a ``finally`` by now: a
        # second cancel would cut that wait short.
        if not has_fired(last):
            cancel_leaf(leaf)


def _forgive_all(keeping: list[Deferred[Any]]) -> None:
    """Have it be no error that what was cancelled keeps its failure to itself.

    One that has no result yet, as that of a coroutine in its ``finally``, may keep one later.
    """
    for each in keeping:
        if not is_settled(each) or isinstance(each.result, Failure):
            forgive(each)


def cancel_leaf(leaf: Deferred[Any]) -> None:
    """Cancel a Deferred that waits for no other; log what its canceller raises."""
    try:
        leaf.cancel()
    except BaseException:
        log.failure("the canceller {canceller} failed", canceller=_canceller_text(leaf))


def _canceller_text(leaf: Deferred[Any]) -> str:
    canceller = canceller_of(leaf)
    return f"{function_name(type(leaf))}.cancel" if canceller is None else function_at(canceller)

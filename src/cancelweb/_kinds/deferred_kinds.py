"""Cancel Deferreds, coroutines and generators, at the leaves of what they wait for.

`leaves` finds the leaves.
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
from .stacks import stack_of
from .where import function_at, function_name, lines_of


@define(eq=False)
class DeferredCanceller(Canceller):
    """Cancels what a Deferred waits for. The CancelledError then comes up through the Deferred.

    Attributes:
        work: the Deferred.
        suspended: the coroutine that the Deferred was made from, or None if unknown.
    """

    work: Deferred[Any]
    suspended: object = None
    # Pairs of a leaf and the Deferred that shows, once fired, that the leaf was reached or is
    # over: the leaf, or the last of the chain that a fired leaf waits for. None until `reach`.
    _leaves: list[tuple[Deferred[Any], Deferred[Any]]] | None = field(
        default=None, init=False, repr=False
    )
    # Deferreds that keep a failure of their own when a leaf is cancelled.
    _keeping: list[Deferred[Any]] | None = field(default=None, init=False, repr=False)
    # Results, other than failures, that have arrived since `reach` was called.
    _came: list[object] = field(factory=list, init=False, repr=False)
    _unstopped: tuple[Unstopped, ...] = field(default=(), init=False, repr=False)

    @property
    def deferred(self) -> Deferred[Any]:
        """The Deferred that fires with the work's result."""
        return self.work

    def watch(self, settled: Settled) -> None:
        self.work.addCallbacks(settled, settled)

    def reach(self, reached: set[int]) -> None:
        if not is_settled(self.work):
            # Do this before the work fails: a hook may await it from within its own callbacks, and
            # Twisted's ``await`` then needs the DebugInfo that `forgive` sets.
            forgive(self.work)
        self._find(reached)

    def _find(self, reached: set[int]) -> None:
        is_first = not reached
        self._keeping = []
        found = leaves(self.work, reached, self._keeping)
        self._leaves = [(leaf, innermost(leaf)) for leaf in found]
        for _, last in self._leaves:
            # The first work of a batch is cancelled before a result can arrive. A leaf that is the
            # work itself has no coroutine or generator above it that continues with a result.
            if not is_first and last is not self.work:
                _note_result(last, self._came)

    def cancel(self) -> None:
        if self._leaves is None:
            self._find(set())
        found = self._found_leaves()
        if self._came and all(has_fired(last) for _, last in found):
            # What the work waited for has arrived: the cancel of other work released a lock, for
            # example. The work now waits for something else.
            found = [(leaf, leaf) for leaf in leaves(self.work, set(), self._keeping)]
        self._cancel_leaves(found)
        self._forgive_kept()

    def cancel_rest(self) -> None:
        # A list that failed because of one member still has its other members to cancel. What the
        # work began to wait for since then is left alone: that code handles the result.
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
        # Read this before the cancel: afterwards the work no longer waits anywhere.
        told = "\n".join(lines_of(self._outermost)) if in_vain or further.calls else ""
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

    @property
    def _outermost(self) -> object:
        return self.work if self.suspended is None else self.suspended

    def where(self) -> str:
        return stack_of(self._outermost) or self.describe()

    def describe(self) -> str:
        name = getattr(self.suspended, "__qualname__", None)
        return type(self.work).__name__ if name is None else f"coroutine {name}"


def cancel_simply(deferred: Deferred[Any]) -> bool:
    """Cancel what a Deferred waits for, as a `DeferredCanceller` does, but outside any batch.

    Returns:
        False if nothing was cancelled, because part of the work may have to be let go.
    """
    keeping: list[Deferred[Any]] = []
    found = leaves(deferred, set(), keeping)
    if any(may_let_go(canceller_of(leaf)) for leaf in found):
        return False
    _cancel_all([(leaf, innermost(leaf)) for leaf in found])
    _forgive_all(keeping)
    return True


def _note_result(leaf: Deferred[Any], came: list[object]) -> None:
    """Record the result with which a Deferred is fired, until its ``callback`` is restored."""
    # The weak reference prevents a cycle: a Deferred that never fires is freed with its callback.
    here = ref(leaf)

    def callback(result: Any) -> None:
        came.append(result)
        fired = here()
        assert fired is not None
        type(fired).callback(fired, result)

    leaf.callback = callback  # type: ignore[method-assign]


def _cancel_all(found: list[tuple[Deferred[Any], Deferred[Any]]]) -> None:
    for leaf, last in found:
        # If another cancel has fired this leaf meanwhile, the code above it may already wait in a
        # ``finally`` block. A second cancel would cut that wait short.
        if not has_fired(last):
            cancel_leaf(leaf)


def _forgive_all(keeping: list[Deferred[Any]]) -> None:
    """Keep failures that cancelled Deferreds keep for themselves out of the log.

    A Deferred without a result, such as that of a coroutine in its ``finally``, may fail later.
    """
    for each in keeping:
        if not is_settled(each) or isinstance(each.result, Failure):
            forgive(each)


def cancel_leaf(leaf: Deferred[Any]) -> None:
    """Cancel a Deferred that waits for no other, and log what its canceller raises."""
    try:
        leaf.cancel()
    except BaseException:
        log.failure("the canceller {canceller} failed", canceller=_canceller_text(leaf))


def _canceller_text(leaf: Deferred[Any]) -> str:
    canceller = canceller_of(leaf)
    return f"{function_name(type(leaf))}.cancel" if canceller is None else function_at(canceller)

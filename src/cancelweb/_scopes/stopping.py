"""Ask the work of one scope to stop: at once or in the next turn, and watch for survivors.

`work_set` has the order, and `life` decides whether a scope is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from .._kinds.cancellers import Canceller
from .._kinds.registry import canceller_for
from .._log import log
from ..causes import Ended
from .context import current, in_context, in_copy, telling_of
from .let_go import LettingGo
from .parts import Subject
from .patience import Patience, seconds_for
from .states import ANSWERED, ASKED, CLOSED, ENDED, STOPPING, SURVIVOR, UNOBSERVED
from .survivors import watch_over
from .telling import log_in
from .work import Work
from .work_set import WorkSet, in_order, reach_all


class Stopping:
    """Asks the work of one scope to stop, each piece once, in time linear in their number.

    Attributes:
        scope: the scope.
        works: all work of the scope.
        letting_go: the work that was let go.
        is_returned_leftover: whether the work that the handler returned is leftover work, too:
            under a faked HEAD, at the end of a drain, and after a response was given up.
    """

    def __init__(self, scope: Subject) -> None:
        self.works = WorkSet()
        self.is_returned_leftover = False
        self.scope = scope
        # The call that asks in the next turn, or None.
        self._next_turn: IDelayedCall | None = None
        # The timer for work that was asked to stop; None until there is some.
        self._patience: Patience | None = None
        self.letting_go = LettingGo(scope)
        # The late work that `_together` asks at its end; None outside it.
        self._batch: list[Work] | None = None

    def track(self, work: object) -> Canceller:
        """Find the canceller of work, and take the work on."""
        with self._together():
            canceller = in_context(self.scope, canceller_for, work)
            self.add(canceller)
        return canceller

    def add(self, canceller: Canceller, arrived: Callable[[Any], object] | None = None) -> Work:
        """Take on a piece of work; if it comes too late, ask it to stop.

        Args:
            canceller: the canceller of the work.
            arrived: takes the result of work that a handler returned.
        """
        work, is_new = self.works.take(canceller, arrived)
        if is_new:
            work.holder = self
            in_context(self.scope, canceller.watch, work.settled)
            if self._is_too_late_for(work):
                self._ask_late([work])
        return work

    def adopt(
        self, canceller: Canceller, arrived: Callable[[Any], object], asked_at: float | None
    ) -> Work:
        """See `parts.Stopping`."""
        work, _ = self.works.take(canceller, arrived)
        work.holder = self
        if asked_at is not None:
            work.asked_at = asked_at
            self.works.move(work, ASKED)
        return work

    def _is_too_late_for(self, work: Work) -> bool:
        """Whether work that is added now is asked to stop at once."""
        scope = self.scope
        if scope.state is ANSWERED and not self.is_pending:
            is_left = self.is_returned_leftover or not self.works.is_returned_waited_for
            return is_left and not scope.options.dry_run
        is_stopping = scope.state is STOPPING and not self.is_pending
        return is_stopping or scope.state is CLOSED

    def release_leftover_work(self) -> None:
        """Let leftover work run on; nothing waits for it."""
        for work in self.leftover_work():
            self.works.drop(work)

    def leftover_work(self) -> list[Work]:
        """The work to stop once the response is finished, in this order."""
        kept = set() if self.is_returned_leftover else self.works.kept()
        return [work for work in self.works.unasked() if work not in kept]

    def release(self, canceller: Canceller) -> None:
        """Stop tracking the work of this canceller, which runs on."""
        for work in self.works.tracked_by(canceller):
            self.works.drop(work)
        self.scope.life.go_on()

    # --- when ---

    @property
    def is_pending(self) -> bool:
        """Whether the work will be asked to stop in a later turn.

        Work that is added meanwhile is asked with the rest, so that shared work is reached once.
        """
        return self._next_turn is not None or self.scope.is_in_call

    def ask_all(self) -> None:
        """Ask the work now, or in the next turn if the request's own code is on the stack.

        A cancel does not reach running code, and during the handler's call its result is unknown.
        """
        if self.is_pending:
            return
        if self.works.is_running(current.get() is self.scope):
            self.ask_in_next_turn()
        else:
            self._ask_now()

    def ask_in_next_turn(self) -> None:
        """Ask the work in the next turn, when the running code has returned."""
        self._next_turn = self.scope.clock.callLater(0, self._ask_now)

    def _ask_now(self) -> None:
        self._next_turn = None
        self.scope.life.ask_now()

    # --- asking ---

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Ask all late work that is added inside the block together, when the outermost one ends.

        A coroutine that is tracked late may itself track the work that it awaits next. If the two
        were asked one by one, the coroutine would be cancelled twice, the second time in its
        ``finally``.
        """
        if self._batch is not None:
            yield
            return
        batch: list[Work] = []
        self._batch = batch
        try:
            yield
        finally:
            self._batch = None
            self._ask_late(batch)

    def _ask_late(self, works: list[Work]) -> None:
        """Ask work that was added after the rest was asked, or after the scope had closed."""
        if self._batch is not None:
            self._batch += works
            return
        self.ask(in_order(works))
        if self.scope.state is CLOSED:
            self.close()
        elif works:
            self.scope.life.go_on()

    def ask_rest(self) -> None:
        """Ask the work that was not asked yet, and let go of unknown code."""
        self.letting_go.left_open(self.works)
        self.ask(self.works.unasked())

    def ask(self, works: list[Work]) -> None:
        """Ask work to stop, in this order, except what the cancel of other work reaches."""
        reach_all(works)
        if self.scope.state is ANSWERED:
            self.scope.life.leftover_asked(works)
        now = self.scope.clock.seconds()
        for work in works:
            work.asked_at = now
            self.works.move(work, ASKED)
        # Until all work was asked, it is unknown what was let go, so the scope must not go on.
        self.works.wait_for_more(1)
        for work in works:
            canceller = work.canceller
            if work.step is ASKED and work.holder is self:
                self._ask(work, canceller.cancel)
            else:
                if work.step is ENDED:
                    self._ask(work, canceller.cancel_rest)
                canceller.forget()
        self.works.wait_for_more(-1)

    def _ask(self, work: Work, cancel: Callable[[], None]) -> None:
        work.canceller.clock = self.scope.clock
        try:
            in_copy(self.scope, cancel)
        except BaseException:
            # The work may still end: some database drivers raise on purpose.
            text, name = "the canceller {canceller} failed", work.canceller.describe()
            log_in(self.scope.context, log.failure, text, canceller=name)
        self.was_asked(work)

    def was_asked(self, work: Work | None) -> None:
        """Wait for work that was asked to stop, here or by a scope on the fast path."""
        assert work is not None
        if work.step is ASKED and not work.canceller.is_end_observable:
            self.works.move(work, UNOBSERVED)
        self.letting_go.was_asked(work, self.works)
        if work.step is ASKED:
            self._patience = self._patience or Patience(self.scope, self._outlived)
            self._patience.wait_for(work)
            self._patience.start()

    def _outlived(self, late: list[tuple[Work, float]]) -> None:
        for work, seconds in late:
            if work.step is ASKED and work.holder is self:
                self.works.move(work, SURVIVOR)
                work.survival = self.scope.life.work_survived(work, seconds)
        self.scope.life.go_on()

    def all_settled(self) -> Ended:
        """Stop waiting; returns how the work has ended because of what was let go."""
        if self._patience is not None:
            self._patience.stop()
        return self.letting_go.verdict()

    def ended(self, work: Work, result: object) -> object:
        """See `Holder`."""
        self.works.move(work, ENDED)
        work.end()
        self.letting_go.settled(work)
        return self.scope.life.work_ended(work, result)

    def close(self) -> None:
        """Ask the work that still runs, and drop all work, because the scope closes."""
        if self._next_turn is not None and self._next_turn.active():
            self._next_turn.cancel()
        self.ask(self.works.unasked())
        self.all_settled()
        self._patience = None
        works, self.works = self.works, WorkSet()
        for work in works:
            work.close(telling_of(self.scope, work.canceller), self.scope.rare.claim)
            if work.step is ASKED:
                watch_over(work, self.scope.clock, seconds_for(work, self.scope))

"""How the work of one scope is asked to stop: when its turn is, and what outlives that.

In which order stands in `work_set`, whether a scope is cancelled in `life`.
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
    """Asks the work of one scope to stop, each piece once, in time in proportion to their number.

    Attributes:
        scope: the scope.
        works: all work of the scope.
        letting_go: what of it was let go.
        is_returned_leftover: the response is finished, and what the handler returned is not left to
            run: under a faked HEAD, and at the end of a drain.
    """

    def __init__(self, scope: Subject) -> None:
        self.works = WorkSet()
        self.is_returned_leftover = False
        self.scope = scope
        # What asks in the next turn; None when nothing is to be asked then.
        self._next_turn: IDelayedCall | None = None
        # What waits for those that were asked; None as long as there were none.
        self._patience: Patience | None = None
        self.letting_go = LettingGo(scope)
        # What is to be asked together, inside `_together`.
        self._batch: list[Work] | None = None

    def track(self, work: object) -> Canceller:
        """Find out how work is stopped, and take it on."""
        with self._together():
            canceller = in_context(self.scope, canceller_for, work)
            self.add(canceller)
        return canceller

    def add(self, canceller: Canceller, arrived: Callable[[Any], object] | None = None) -> Work:
        """Take on a piece of work; if it is too late for that, have it stopped.

        Args:
            canceller: how it is stopped.
            arrived: takes its result, if a handler returned it.
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
        """Whether work that is added now is stopped at once."""
        scope = self.scope
        if scope.state is ANSWERED and not self.is_pending:
            is_left = self.is_returned_leftover or not self.works.is_returned_waited_for
            return is_left and not scope.options.dry_run
        is_stopping = scope.state is STOPPING and not self.is_pending
        return is_stopping or scope.state is CLOSED

    def release_leftover_work(self) -> None:
        """Let what would be stopped run on; nothing waits for it."""
        for work in self.leftover_work():
            self.works.drop(work)

    def leftover_work(self) -> list[Work]:
        """What is stopped once the response is finished, in this order."""
        kept = set() if self.is_returned_leftover else self.works.kept()
        return [work for work in self.works.unasked() if work not in kept]

    def release(self, canceller: Canceller) -> None:
        """Track no longer what this canceller stops; it runs on."""
        for work in self.works.tracked_by(canceller):
            self.works.drop(work)
        self.scope.life.go_on()

    # --- when ---

    @property
    def is_pending(self) -> bool:
        """Whether what is to be asked is asked in a later turn.

        Work that comes meanwhile is asked with the rest, so that what they share is reached once.
        """
        return self._next_turn is not None or self.scope.is_in_call

    def ask_all(self) -> None:
        """Ask now, or in the next turn while the request's own code is on the stack.

        That would lose a cancel, and what a handler returns is not known while it is called.
        """
        if self.is_pending:
            return
        if self.works.is_running(current.get() is self.scope):
            self.ask_in_next_turn()
        else:
            self._ask_now()

    def ask_in_next_turn(self) -> None:
        """Ask as soon as the code that runs has come to its end."""
        self._next_turn = self.scope.clock.callLater(0, self._ask_now)

    def _ask_now(self) -> None:
        self._next_turn = None
        self.scope.life.ask_now()

    # --- asking ---

    @contextmanager
    def _together(self) -> Iterator[None]:
        """What comes late inside is asked to stop together, at the end of the outermost.

        A coroutine that is tracked late may itself track what it then awaits: asked each for
        itself, it would be cancelled twice, and its ``finally`` cut short.
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
        """Ask work that has come when the rest had been asked, or when the scope had closed."""
        if self._batch is not None:
            self._batch += works
            return
        self.ask(in_order(works))
        if self.scope.state is CLOSED:
            self.close()
        elif works:
            self.scope.life.go_on()

    def ask_rest(self) -> None:
        """Ask what was not asked yet; if there is nothing, it may be because we do not know it."""
        self.letting_go.left_open(self.works)
        self.ask(self.works.unasked())

    def ask(self, works: list[Work]) -> None:
        """Ask work to stop, in this order, but for what the cancel of other work reaches."""
        reach_all(works)
        if self.scope.state is ANSWERED:
            self.scope.life.leftover_asked(works)
        now = self.scope.clock.seconds()
        for work in works:
            work.asked_at = now
            self.works.move(work, ASKED)
        # What was let go can be told only when all have been asked: until then nothing goes on.
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
            # The work may end all the same: some drivers raise on purpose.
            text, name = "the canceller {canceller} failed", work.canceller.describe()
            log_in(self.scope.context, log.failure, text, canceller=name)
        self.was_asked(work)

    def was_asked(self, work: Work | None) -> None:
        """Work was asked to stop; by the scope, if it had watched it itself."""
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
        """Nothing is waited for any more; returns how work has ended that was let go."""
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
        """The scope closes: ask what still runs, and hold on to nothing."""
        if self._next_turn is not None and self._next_turn.active():
            self._next_turn.cancel()
        self.ask(self.works.unasked())
        self.all_settled()
        self._patience = None
        works, self.works = self.works, WorkSet()
        for work in works:
            work.close(telling_of(self.scope, work.canceller))
            if work.step is ASKED:
                watch_over(work, self.scope.clock, seconds_for(work, self.scope))

"""The life of a scope: handles each event, and acts on entering each state.

The table of states and events is `states.TRANSITIONS`. `scope` has the methods for users.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..causes import Cause, Ended
from .context import in_copy, mark_asked
from .ends import work_ended
from .found_context import find_context
from .hooks import HookStack
from .parts import Subject
from .record import Record
from .states import CLEANING, CLOSED, FINISHED, OPEN, RUNNING, STOPPING, Event, Fate, State
from .stopping import Stopping
from .survivors import survive
from .work import Work
from .work_set import NO_WORK


class Life:
    """The work, hooks and record of a scope. Made on demand, and dropped when the scope closes.

    Attributes:
        scope: the scope.
        record: the facts for the outcome.
        is_without_work: whether there is no work, except for what the scope may watch itself.
        is_given_up: whether cancelweb has broken the response off.
    """

    is_given_up = False

    def __init__(self, scope: Subject) -> None:
        self.scope = scope
        self.record = Record()
        self.is_without_work = True
        self._stopping: Stopping | None = None
        self._hooks: HookStack | None = None

    @property
    def stopping(self) -> Stopping:
        """The work of the scope, including what the scope has watched itself; made on demand."""
        if self._stopping is None:
            self._stopping, self.is_without_work = Stopping(self.scope), False
            self.scope.hand_over(self._stopping)
        return self._stopping

    @property
    def has_asked(self) -> bool:
        """See `parts.Life`."""
        return self.scope.cause is not None or self.record.leftovers > 0

    def _has_work(self) -> bool:
        return self._stopping is not None or self.scope.watched is not None

    @property
    def returned(self) -> object:
        """See `parts.Life`."""
        return self.scope.watched or (self._stopping and self._stopping.works.returned_deferred)

    @property
    def hooks(self) -> HookStack:
        """The cleanup hooks; made on demand."""
        self._hooks = self._hooks or HookStack(self.scope)
        return self._hooks

    # --- events ---

    def finished(self, is_faked_head: bool = False) -> None:
        """Handle the finished response, or an upgrade of the connection to another protocol."""
        scope = self.scope
        if scope.fate is not OPEN:
            return
        has_work = self._has_work()
        if has_work or scope.rare.left_open:
            scope.finished_early()
        scope.fate = FINISHED
        if scope.state is RUNNING and not has_work:
            # There is nothing to wait for, so the scope skips ANSWERED.
            self._go_to(CLEANING)
            return
        if is_faked_head:
            self.stopping.is_returned_leftover = not scope.options.dry_run
        self._become(Event.FINISHED)
        self._request_is_over()

    def lost(self, cause: Cause) -> None:
        """Handle the loss of the client."""
        self.scope.fate = Fate.LOST
        if self.scope.is_interruptible and not self.scope.options.dry_run:
            self._cancelled(cause, Event.LOST)
        elif self.scope.state is RUNNING:
            self.record.spare(cause)
            self.stopping.letting_go.left_open(self.stopping.works)
            self._become(Event.SPARED_LOSS)
        self._request_is_over()

    def _request_is_over(self) -> None:
        if self._has_work() and not self.stopping.is_pending:
            self.stopping.works.response_over()
        self.go_on()

    def give_up(self) -> None:
        """Note that cancelweb breaks the response off, after a failure or a cancel."""
        self.is_given_up = True
        self.stopping.is_returned_leftover = not self.scope.options.dry_run
        self._become(Event.GIVEN_UP)

    def stop(self, cause: Cause) -> bool:
        """Cancel the scope; returns whether this call did it."""
        if self.scope.is_answered:
            return False
        if self.scope.options.dry_run:
            if self.scope.cause is None and self.scope.state.after(Event.CANCELLED):
                self.record.spare(cause)
            return False
        return self._cancelled(cause, Event.CANCELLED)

    def _cancelled(self, cause: Cause, event: Event) -> bool:
        if self.scope.cause is not None or not self.scope.state.after(event):
            return False
        self.scope._cause = cause
        find_context(self.scope)
        self._become(event)
        # `stopping` takes over work of the scope that was not asked yet, so it is read before the
        # time of the cancel is set.
        stopping, self.scope.cancelled = self.stopping, self.scope.clock.seconds()
        stopping.ask_all()
        return True

    def expired(self, cause: Cause) -> None:
        """See `parts.Life`."""
        if self.scope.is_interruptible:
            self.stop(cause)
        else:
            self.record.spare(cause)

    def drain(self, cause: Cause) -> None:
        """End a drain: cancel the scope, or, if it is answered, stop even the returned work."""
        self.scope.catch_up(is_reported_by_now=True)
        if not self.stop(cause) and self.scope.state is State.ANSWERED:
            self.stopping.is_returned_leftover = not self.scope.options.dry_run
            self._stop_leftover_work()

    def work_ended(self, work: Work, result: object) -> object:
        """See `parts.Life`."""
        if self.scope.state is CLOSED:
            return work.outlived(result)
        rest = work_ended(self.scope, self.record, self.stopping.works, work, result)
        self.go_on()
        return rest

    def leftover_asked(self, works: list[Work]) -> None:
        """See `parts.Life`."""
        self.record.leftovers += len(works)
        for work in works:
            mark_asked(self.scope, work.canceller)

    def result_arrived(self) -> None:
        """Handle the result of a spared request; all other work is leftover work now."""
        self._become(Event.RESULT)
        self.go_on()

    def work_survived(self, work: Work, seconds: float) -> Callable[[], object]:
        """See `parts.Life`."""
        self.record.worsen(Ended.SURVIVED)
        return in_copy(self.scope, survive, work, self.scope, seconds)

    def go_on(self) -> None:
        """Enter the next state, if there is nothing left to wait for."""
        scope = self.scope
        works = self.stopping.works if self._has_work() else NO_WORK
        if scope.state is STOPPING and works.is_waited_for:
            return
        scope.catch_up()
        if not works.is_returned_waited_for:
            self._stop_leftover_work()
        if scope.fate is not OPEN and not works.is_waited_for and not scope.is_in_call:
            self._become(Event.ALL_ENDED)

    # --- entering a state ---

    def _become(self, event: Event) -> None:
        state = self.scope.state.after(event)
        if state is not None:
            self._go_to(state)

    def _go_to(self, state: State) -> None:
        scope = self.scope
        if scope.limits is not None and scope.state is RUNNING:
            scope.limits.stop()
        scope.state = state
        if state in _ENTER:
            _ENTER[state](self)

    def _stop_leftover_work(self) -> None:
        """Stop the leftover work of a finished response; this cancels nothing."""
        if self.scope.state is not State.ANSWERED or not self._has_work():
            return
        if not self.stopping.is_pending and self.stopping.leftover_work():
            if self.scope.options.dry_run:
                self.stopping.release_leftover_work()
            else:
                self.stopping.ask_all()

    def ask_now(self) -> None:
        """See `parts.Life`."""
        if self.scope.state is State.ANSWERED:
            self.stopping.ask(self.stopping.leftover_work())
        elif self.scope.state is STOPPING and self.scope.cause is not None:
            self.stopping.ask_rest()
            self.scope.answer_cancel(self.scope.cause)
        self.go_on()

    def _enter_cleaning(self) -> None:
        if self._stopping is not None:
            self.record.worsen(self._stopping.all_settled())
        if self._hooks is None:
            self._become(Event.HOOKS_DONE)
        else:
            self._hooks.run_all(partial(self._become, Event.HOOKS_DONE))

    def _enter_closed(self) -> None:
        self.record.tell(self.scope, self._hooks.began if self._hooks else None, self.close)

    def close(self) -> None:
        """Close the scope: stop the work that still runs, and drop every reference."""
        if self.scope.limits is not None and self.scope.state is RUNNING:
            self.scope.limits.stop()
        self.scope.state = CLOSED
        if self._has_work():
            self.stopping.close()
        # A failure refers to frames, which may refer to this life.
        self.record.failure = None
        self.scope.end()


_ENTER: dict[State, Callable[[Life], None]] = {
    State.ANSWERED: Life._stop_leftover_work,
    CLEANING: Life._enter_cleaning,
    CLOSED: Life._enter_closed,
}

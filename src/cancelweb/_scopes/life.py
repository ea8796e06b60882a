"""What happens in a scope: each event, and what is done on entering each state.

The table of states and events is `states.TRANSITIONS`; what users ask of a scope is in `scope`.
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
    """What is under way in a scope: made on demand, and dropped when the scope closes.

    Attributes:
        record: what is noted for the outcome.
        is_without_work: whether there is no work but what the scope may watch itself.
        is_given_up: whether the response was broken off at this end.
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
        """Its work. Takes over what the scope has watched itself."""
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
        """Its cleanup hooks; made on demand."""
        self._hooks = self._hooks or HookStack(self.scope)
        return self._hooks

    # --- events ---

    def finished(self, is_faked_head: bool = False) -> None:
        """The response is finished, or another protocol has taken the connection over."""
        scope = self.scope
        if scope.fate is not OPEN:
            return
        scope.fate = FINISHED
        if scope.state is RUNNING and not self._has_work():
            # Nothing is left to wait for: no need to stop over in ANSWERED.
            self._go_to(CLEANING)
            return
        if is_faked_head:
            self.stopping.is_returned_leftover = not scope.options.dry_run
        self._become(Event.FINISHED)
        self._request_is_over()

    def lost(self, cause: Cause) -> None:
        """The client has left, or the response was given up."""
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
        """The response is broken off at this end: after a failure, unless it was cancelled."""
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
        self.scope.cause = cause
        find_context(self.scope)
        self._become(event)
        # Work that the scope hands over was not asked yet, so it comes before the time.
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
        """A drain is at its end: cancel the scope, or stop even what the handler returned."""
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
        """What the handler was asked for is there: the rest is leftover work."""
        self._become(Event.RESULT)
        self.go_on()

    def work_survived(self, work: Work, seconds: float) -> Callable[[], object]:
        """See `parts.Life`."""
        self.record.worsen(Ended.SURVIVED)
        return in_copy(self.scope, survive, work, self.scope, seconds)

    def go_on(self) -> None:
        """Go on, if there is nothing left to wait for."""
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
        """Work that still runs beside a finished response is stopped; nothing is cancelled."""
        if self.scope.state is not State.ANSWERED or not self._has_work():
            return
        if not self.stopping.is_pending and self.stopping.leftover_work():
            if self.scope.options.dry_run:
                self.stopping.release_leftover_work()
            else:
                self.stopping.ask_all()

    def ask_now(self) -> None:
        """See `parts.Life`: it is the turn of the work to be asked."""
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
        """Let go of everything, and have what still runs stopped."""
        if self.scope.limits is not None and self.scope.state is RUNNING:
            self.scope.limits.stop()
        self.scope.state = CLOSED
        if self._has_work():
            self.stopping.close()
        # It refers to frames, and these may refer to this life.
        self.record.failure = None
        self.scope.end()


_ENTER: dict[State, Callable[[Life], None]] = {
    State.ANSWERED: Life._stop_leftover_work,
    CLEANING: Life._enter_cleaning,
    CLOSED: Life._enter_closed,
}

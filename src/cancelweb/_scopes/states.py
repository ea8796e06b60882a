"""The states of a scope and of its work, and the table that says which event leads where.

What belongs here: enums, and the table. What does not: what is done on entering a state, which is
in `life`; each comment below states an invariant that the code there keeps.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto


class Fate(Enum):
    """What became of the request."""

    OPEN = auto()
    FINISHED = auto()
    """The response was finished, or another protocol has taken the connection over."""
    LOST = auto()


class LeftOpen(Enum):
    """Whether a response was left to code that is not known to us."""

    NO = auto()
    BY_HANDLER = auto()
    """The handler has returned ``NOT_DONE_YET``."""
    BY_WORK = auto()
    """What it has returned has ended, and has not finished the response: a timer, say."""


class State(IntEnum):
    """How far a scope is on its way to its end. It never goes back."""

    RUNNING = auto()
    """The request is open. Nothing was asked to stop."""
    ANSWERED = auto()
    """The response is finished, or there will be none. What the handler returned runs to its end;
    the rest is leftover work, and is stopped."""
    SPARED = auto()
    """The client has left, and the request is not cancelled for that: its method is spared, or this
    is a dry run. What the handler returned runs to its end; nothing was asked to stop."""
    STOPPING = auto()
    """The request was cancelled. All work is asked to stop, once, and waited for."""
    CLEANING = auto()
    """All that was waited for has ended or outlived its cancellation. The hooks run."""
    CLOSED = auto()
    """The hooks are done, the observers were told, and nothing refers to the request."""

    def after(self, event: Event) -> State | None:
        """The state to which an event leads from this one; None if it changes nothing."""
        return TRANSITIONS[self].get(event)


OPEN, FINISHED, LOST = Fate
RUNNING, ANSWERED, SPARED, STOPPING, CLEANING, CLOSED = State
# By names of their own they are at hand: to look a member up takes longer than to compare it.


class Event(IntEnum):
    """What moves a scope from one state to another."""

    FINISHED = auto()
    """The response is finished, or the connection was upgraded."""
    LOST = auto()
    """The client has left, and the request may be cancelled for that."""
    SPARED_LOSS = auto()
    """The client has left a request that is not cancelled for that."""
    GIVEN_UP = auto()
    """A failure came after the first write: the response is broken off at this end."""
    CANCELLED = auto()
    """A time limit is over, the server is drained, or the user has cancelled the scope."""
    RESULT = auto()
    """What the outermost handler returned has come to its end, and that was not
    ``NOT_DONE_YET``."""
    ALL_ENDED = auto()
    """There is nothing left to wait for: all work has ended, or is a survivor."""
    HOOKS_DONE = auto()
    """The last hook has ended, or its time was up."""


TRANSITIONS: dict[State, dict[Event, State]] = {
    # The result of the returned work is the answer, here and nowhere else.
    State.RUNNING: {
        Event.FINISHED: State.ANSWERED,
        Event.LOST: State.STOPPING,
        Event.SPARED_LOSS: State.SPARED,
        Event.GIVEN_UP: State.ANSWERED,
        Event.CANCELLED: State.STOPPING,
    },
    # Of a response that was given up, what the handler returned is leftover work, too: a loss that
    # follows is of our own making, and cancels nothing.
    # Finished beats cancelled: no loss, deadline or drain is an event here. At its end, a drain
    # stops the returned work, too, as leftover work; the scope has no cause even then.
    State.ANSWERED: {Event.ALL_ENDED: State.CLEANING},
    # Tracked work is spared until there is a result; then it is leftover work. Where the handler
    # has said NOT_DONE_YET there is none: the tracked work is the request's, and runs to its end.
    State.SPARED: {
        Event.RESULT: State.ANSWERED,
        Event.CANCELLED: State.STOPPING,
        Event.ALL_ENDED: State.CLEANING,
    },
    # The first cause counts, so another cancel changes nothing. The hooks wait for the request to
    # be over as well, so that they find it dead.
    State.STOPPING: {Event.ALL_ENDED: State.CLEANING},
    # What hooks track runs until the scope is closed.
    State.CLEANING: {Event.HOOKS_DONE: State.CLOSED},
    # Work that is tracked now is asked to stop at once; nothing waits for it.
    State.CLOSED: {},
}
"""Which event leads to which state. An event that has no entry changes no state.

A request that is dead or turned away is born in STOPPING (`turned_away.refuse`); a scope that is
withdrawn closes at once.
"""


class Step(Enum):
    """How far one piece of work is on its way to its end."""

    UNASKED = auto()
    """It runs, and was not asked to stop."""
    ASKED = auto()
    """It was asked to stop, and its end was not observed yet."""
    SURVIVOR = auto()
    """It still runs, so long after it was asked that nothing waits for it any more."""
    UNOBSERVED = auto()
    """It was asked to stop, and nothing will tell of its end."""
    ENDED = auto()


UNASKED, ASKED, SURVIVOR, UNOBSERVED, ENDED = Step

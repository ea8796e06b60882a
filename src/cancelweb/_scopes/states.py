"""The states of a scope and of its work, and the table of events and transitions.

This module has only enums and the table. `life` acts on entering a state; each comment below states
an invariant that the code there keeps.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto


class Fate(Enum):
    """Whether the request is open, finished or lost."""

    OPEN = auto()
    FINISHED = auto()
    """The response is finished, or the connection was upgraded to another protocol."""
    LOST = auto()


class LeftOpen(IntEnum):
    """Whether the response was left to unknown code, which cancelweb cannot stop."""

    NO = 0
    BY_HANDLER = auto()
    """The handler returned ``NOT_DONE_YET``."""
    BY_WORK = auto()
    """The returned work, such as a timer, ended without finishing the response."""


class State(IntEnum):
    """How far a scope is on the way to its end. It never goes back."""

    RUNNING = auto()
    """The request is open. Nothing was asked to stop."""
    ANSWERED = auto()
    """The response is finished, or there will be none. Work that the handler returned runs to its
    end; all other work is leftover work and is stopped."""
    SPARED = auto()
    """The client has left, but that does not cancel the request: its method is spared, or this is a
    dry run. Work that the handler returned runs to its end; nothing was asked to stop."""
    STOPPING = auto()
    """The request was cancelled. All work is asked to stop, once, and waited for."""
    CLEANING = auto()
    """No work is waited for: all has ended, been let go or been named a survivor. The hooks run."""
    CLOSED = auto()
    """The hooks are done, the observers were told, and nothing refers to the request."""

    def after(self, event: Event) -> State | None:
        """The state to which an event leads from this one; None if the state stays."""
        return TRANSITIONS[self].get(event)


# Module-level names, because looking up a member of an enum takes longer than comparing it.
OPEN, FINISHED, LOST = Fate
RUNNING, ANSWERED, SPARED, STOPPING, CLEANING, CLOSED = State


class Event(IntEnum):
    """An event, which may move a scope from one state to another."""

    FINISHED = auto()
    """The response is finished, or the connection was upgraded."""
    LOST = auto()
    """The client has left, and a disconnect may cancel the request."""
    SPARED_LOSS = auto()
    """The client has left, but a disconnect may not cancel the request."""
    GIVEN_UP = auto()
    """A failure came after the first write, so cancelweb breaks the response off."""
    CANCELLED = auto()
    """A time limit has expired, the server is drained, or the user has cancelled the scope."""
    RESULT = auto()
    """The work that the outermost handler returned has ended, and not with ``NOT_DONE_YET``."""
    ALL_ENDED = auto()
    """There is nothing left to wait for: all work has ended, been let go or become a survivor."""
    HOOKS_DONE = auto()
    """The last hook has ended, or its time was up."""


TRANSITIONS: dict[State, dict[Event, State]] = {
    # Only in this state is the result of the returned work the answer.
    State.RUNNING: {
        Event.FINISHED: State.ANSWERED,
        Event.LOST: State.STOPPING,
        Event.SPARED_LOSS: State.SPARED,
        Event.GIVEN_UP: State.ANSWERED,
        Event.CANCELLED: State.STOPPING,
    },
    # Finished beats cancelled, so a loss, deadline or drain changes nothing here. At its end, a
    # drain stops even the returned work, as leftover work; the scope still has no cause.
    # After a response was given up, the returned work is leftover work, too. The loss that follows
    # was caused by cancelweb and cancels nothing.
    State.ANSWERED: {Event.ALL_ENDED: State.CLEANING},
    # Tracked work is spared until there is a result, and is leftover work afterwards. If the
    # handler returned NOT_DONE_YET there is no result, and tracked work runs to its end.
    State.SPARED: {
        Event.RESULT: State.ANSWERED,
        Event.CANCELLED: State.STOPPING,
        Event.ALL_ENDED: State.CLEANING,
    },
    # The first cause counts, so another cancel changes nothing. The hooks also wait until the
    # request is over, so that they find it dead.
    State.STOPPING: {Event.ALL_ENDED: State.CLEANING},
    # Work that hooks track runs until the scope is closed.
    State.CLEANING: {Event.HOOKS_DONE: State.CLOSED},
    # Work that is tracked now is asked to stop at once; nothing waits for it.
    State.CLOSED: {},
}
"""The next state for each state and event. An event without an entry changes no state.

The scope of a request that is dead or turned away begins in STOPPING (`turned_away.refuse`). A
scope that is withdrawn closes at once.
"""


class Step(Enum):
    """How far one piece of work is on the way to its end."""

    UNASKED = auto()
    """The work runs and was not asked to stop."""
    ASKED = auto()
    """The work was asked to stop, and its end was not observed yet."""
    SURVIVOR = auto()
    """The work still runs ``survivor_after`` seconds after it was asked to stop."""
    UNOBSERVED = auto()
    """The work was asked to stop, and nothing will report its end."""
    ENDED = auto()


UNASKED, ASKED, SURVIVOR, UNOBSERVED, ENDED = Step

"""A journal of what happens to a request, and work of every kind that writes into it.

What belongs here: work, and what it notes. What does not: the histories, which are in `_twin` and
`_twins`.
"""

import re
from contextvars import Context, ContextVar
from itertools import count
from typing import Any, ClassVar
from weakref import ref

from attrs import asdict
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, formatEvent
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from cancelweb import Draining, Outcome, current_scope, scope_of

from .._pages import PAGE
from .._visits import lose
from ..scopes._jobs import (
    KINDS,
    Await,
    CancellerError,
    Generator,
    Job,
    Obedient,
    Timer,
    Wire,
    WorkError,
)

ADDRESS = re.compile("0x[0-9a-fA-F]+")


class Journal:
    """The events that one twin has seen, in order."""

    acting: ClassVar["Journal"]
    """The journal of the twin whose turn it is."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.numbers = count()

    def note(self, *what: object) -> None:
        """Write a line."""
        self.lines.append(ADDRESS.sub("0x", " ".join(map(str, what))))

    def note_event(self, event: LogEvent) -> None:
        """Write down a log event, if it belongs to this twin."""
        if Journal.acting is self:
            what = event.get("log_failure")
            said = "" if what is None else f"{what.type.__name__}: {what.getErrorMessage()}"
            level, namespace = event["log_level"].name, event["log_namespace"]
            self.note("log", level, namespace, event["log_format"], formatEvent(event), said)

    def note_outcome(self, outcome: Outcome) -> None:
        """Write down what an observer is told."""
        facts = asdict(outcome, recurse=False)
        failure = facts.pop("failure")
        said = failure and f"{failure.type.__name__}: {failure.getErrorMessage()}"
        self.note("outcome", facts, said)


STARTED: ContextVar[object] = ContextVar("started", default="nothing")
"""Which job was started in this context."""


def here(request: Any) -> str:
    """Describe the context in which the code runs, and the state of the scope."""
    try:
        is_own = current_scope() is scope_of(request)
    except LookupError:
        is_own = False
    scope: Any = scope_of(request)
    facts = f"{scope.state.name} {scope.fate.name} {scope.cause} {sorted(vars(request))}"
    return f"in {STARTED.get()}, own: {is_own}, {facts}"


# --- work ---


class Local:
    """A local variable of a coroutine: it is freed with the coroutine's frame."""


class Noting(Job):
    """Work that notes when it is asked to stop, and in which context.

    Attributes:
        locals: what refers to a local variable of its coroutine, if it is one.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.locals: list[ref[Local]] = []
        self.name = f"{next(Journal.acting.numbers)} {type(self).__name__}"

    def start(self) -> Any:
        STARTED.set(self.name)
        return super().start()

    def was_asked(self) -> None:
        super().was_asked()
        Journal.acting.note("asked", self.name, here(self._request))


class NotingAwait(Noting, Await):
    """A coroutine with a local variable, which shows whether its frame was freed."""

    async def pause(self, deferred: Deferred[Any]) -> object:
        local = Local()
        self.locals.append(ref(local))
        return await super().pause(deferred)


class AtOnce(Job):
    """A handler's bytes, returned at once, without any work."""

    result: ClassVar[bytes] = PAGE

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.has_ended = True

    def start(self) -> object:
        return self.result

    def settle(self, result: object) -> None:
        """Do nothing: the bytes have been returned."""


class Piece(bytes):
    """A subclass of bytes."""


class PieceAtOnce(AtOnce):
    """An instance of a subclass of bytes, returned at once."""

    result = Piece(PAGE)


class Raising(AtOnce):
    """A handler that raises."""

    def start(self) -> object:
        raise WorkError


class Leaving(Await):
    """A coroutine that loses the client during a step of its own."""

    def lose(self) -> None:
        """Lose the client."""
        lose(self._request)

    async def run(self) -> object:
        try:
            await self.pause(self.gate)
            self.lose()
            return await self.pause(self.last)
        finally:
            self.has_ended = True


class LeavingUnseen(Leaving):
    """A coroutine that loses the client during a step of its own, but in an empty context."""

    def lose(self) -> None:
        """Lose the client."""
        Context().run(super().lose)


class LeavingGenerator(Generator):
    """A generator that loses the client during a step of its own."""

    def pause(self, deferred: Deferred[Any]) -> Deferred[Any]:
        if deferred is self.last:
            lose(self._request)
        return super().pause(deferred)


class LeavingWire(Wire):
    """A Deferred whose callback loses the client."""

    def _ended(self, result: object) -> object:
        lose(self._request)
        return super()._ended(result)


class Parting(Timer):
    """A timer whose function loses the client."""

    def _answer(self) -> None:
        lose(self._request)
        super()._answer()


class Canceller(Wire):
    """A Deferred whose canceller notes each call."""

    def start(self) -> Deferred[Any]:
        self.gate = Deferred(self._asked)
        return self.gate.addBoth(self._over)

    def _over(self, result: object) -> object:
        self.has_ended = True
        return result

    def _asked(self, deferred: Deferred[Any]) -> None:
        self.was_asked()
        self.stop(deferred)

    def stop(self, deferred: Deferred[Any]) -> None:
        """Leave the Deferred alone, so that Twisted fails it with a CancelledError."""


class Answering(Canceller):
    """A Deferred whose canceller fires it with a page."""

    def stop(self, deferred: Deferred[Any]) -> None:
        deferred.callback(PAGE)


class Broken(Canceller):
    """A Deferred whose canceller raises."""

    def stop(self, deferred: Deferred[Any]) -> None:
        raise CancellerError


class Failing(Canceller):
    """A Deferred whose canceller fails it with an error of its own."""

    def stop(self, deferred: Deferred[Any]) -> None:
        deferred.errback(WorkError())


class LosingAtOnce(Canceller):
    """A Deferred from a handler that loses the client before it returns."""

    def start(self) -> Deferred[Any]:
        lose(self._request)
        return super().start()


class Meddling(Canceller):
    """A Deferred whose canceller adds a hook and work to its scope, and cancels that scope."""

    def stop(self, deferred: Deferred[Any]) -> None:
        scope, journal = scope_of(self._request), Journal.acting
        scope.on_exit(lambda scope: journal.note("meddled", here(self._request)))
        scope.track(Deferred())
        journal.note("cancels", scope.cancel(Draining()))


class Stuck(Canceller):
    """A Deferred that waits for another Deferred after it was cancelled."""

    def _over(self, result: object) -> object:
        if isinstance(result, Failure) and not self.last.called:
            return self.last.addBoth(super()._over)
        return super()._over(result)


LEAVING: list[type[Job]] = [
    Leaving,
    LeavingUnseen,
    LeavingGenerator,
    LeavingWire,
    LosingAtOnce,
    Parting,
]
MORE: list[type[Job]] = [
    *LEAVING,
    LosingAtOnce,
    Canceller,
    Answering,
    Broken,
    Failing,
    Meddling,
    Stuck,
]
AT_ONCE: list[type[Job]] = [AtOnce, PieceAtOnce, Raising]
NOTING: list[type[Job]] = [
    type(kind.__name__, (NotingAwait if issubclass(kind, Await) else Noting, kind), {})
    for kind in [*KINDS, *MORE, *AT_ONCE]
]
SIMPLE = [each for each in NOTING if not issubclass(each, Obedient | AtOnce)]
LOSING = [each for each in SIMPLE if issubclass(each, tuple(LEAVING))]
"""Work that is nearly always taken on the fast path, and what of it loses the client itself."""

RESULTS: dict[str, Any] = {
    "None": lambda: None,
    "NOT_DONE_YET": lambda: NOT_DONE_YET,
    "text": lambda: "text",
    "piece": lambda: Piece(PAGE),
    "nothing": lambda: b"",
    "stream": lambda: iter([PAGE, PAGE]),
    "error of another kind": lambda: Failure(SystemExit("of work")),
}
"""What work may come to, other than a page."""

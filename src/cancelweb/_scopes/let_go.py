"""Work that was let go: what its scope's outcome says of it, and what logs and monitors are told.

Which work nothing can stop, `_kinds.let_go` finds out before it is asked. Whether it is to be
called so shows later: a Deferred that is gone when all has settled had nothing behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from gc import collect as collect_garbage
from weakref import finalize, ref

from attrs import define, field, frozen
from twisted.internet.interfaces import IProcessProtocol, IReactorTime

from .._kinds.cancellers import Canceller
from .._kinds.let_go import Unstopped
from .._kinds.where import function_at
from .._log import full_name_of, log, printable
from .._still_running import LetGo
from .._twisted.checks import check
from ..causes import Cause, Ended
from ..interfaces import IMonitor
from .bursts import is_new_place
from .context import in_copy
from .parts import Subject
from .record import asked_for, path_of
from .states import ANSWERED, ASKED, ENDED, LeftOpen
from .work import Work
from .work_set import WorkSet

check("listeners")
check("requests")


_GONE = Canceller()
_GONE.work = None

_NOT_DONE_YET = "NOT_DONE_YET"
"""What is let go where the handler has returned it."""

_UNFINISHED = "an unfinished response"
"""What is let go where the returned work has ended: it may have begun what is to finish it."""


@define(eq=False)
class LettingGo:
    """What of one scope's work may have to be let go."""

    _scope: Subject
    # Of work that has settled: since when, why it was asked, and what that makes of the outcome.
    _settled: list[tuple[Unstopped, float, Cause, Ended]] = field(factory=list, init=False)
    _ended: Ended = field(default=Ended.COMPLETED, init=False)

    def was_asked(self, work: Work, works: WorkSet) -> None:
        """Work was asked to stop; it may have ended by now."""
        if not (found := work.canceller.unstopped()):
            return
        listeners = getattr(self._scope.request, "notifications", ())
        work.unstopped = [each for each in found if not _is_among(listeners, each)]
        if work.step is ENDED:
            # Whether it is gone can be seen only if no reference of ours keeps it.
            work.canceller.forget()
            works.drop(work)
            work.canceller = _GONE
        if work.step is not ASKED:
            self.settled(work)

    def settled(self, work: Work) -> None:
        """Work that was asked to stop has ended, or nothing will tell when it does."""
        if not work.unstopped:
            return
        # Leftover work says nothing of how its request has ended.
        ended = Ended.COMPLETED if self._scope.state is ANSWERED else Ended.LET_GO
        found, work.unstopped = work.unstopped, ()
        cause = asked_for(self._scope)
        self._settled += [(each, work.asked_at, cause, ended) for each in found]

    def left_open(self, works: WorkSet) -> None:
        """The request is over, and the handler may have left it to code that is not known to us.

        Twisted stops a producer; of a process it only closes the pipes.
        """
        request = self._scope.request
        if works.is_waited_for or self._scope.left_open is LeftOpen.NO:
            return
        if self._scope.ended is not Ended.COMPLETED:
            # What was tracked has ended with the loss, before it was asked: a framework's own
            # listener has stopped it.
            return
        producer = getattr(request, "producer", None)
        if producer is None:
            is_of_work = self._scope.left_open is LeftOpen.BY_WORK
            unstopped = Unstopped(_UNFINISHED if is_of_work else _NOT_DONE_YET, runs=ref(request))
        elif IProcessProtocol.providedBy(producer):
            unstopped = Unstopped("a process", runs=ref(producer))
        else:
            # Of a request that is spared only the response is cut.
            self._ended = Ended.COMPLETED if self._scope.cause is None else Ended.STOPPED
            return
        cause = self._scope.cause or self._scope.would_have_cancelled
        assert cause is not None, "what is over so has been cancelled or spared"
        self._settled.append((unstopped, self._scope.clock.seconds(), cause, Ended.LET_GO))

    def verdict(self) -> Ended:
        """Tell of what was let go; returns how that makes the work end."""
        found, self._settled = self._settled, []
        if not all(unstopped.has_ended for unstopped, *_ in found):
            # From Python 3.12 on, an error that a coroutine has caught is in a cycle: from its
            # traceback to frames, on to their callers, and back. The cycle keeps the Deferred as
            # well, as if something were to fire it. It is as young as the error; the collector may
            # have run once since, and then finds it in the second generation.
            collect_garbage(1)
        for unstopped, since, cause, ended in found:
            if not unstopped.has_ended:
                self._ended = max(self._ended, ended)
                in_copy(self._scope, self._tell, unstopped, since, cause)
        return self._ended

    def _tell(self, unstopped: Unstopped, since: float, cause: Cause) -> None:
        scope = self._scope
        request, monitors = scope.request, scope.options.monitors
        handler = scope.inner_handler or scope.handler
        where = unstopped.where or f"{unstopped.what}{_of(handler)}"
        method, path = (b"", b"") if request is None else (request.method, path_of(request))
        let_go = LetGo(method, path, cause, since, where)
        if is_new_place(where, scope.clock):
            _log(let_go, unstopped)
        for monitor in monitors:
            monitor.work_let_go(let_go)
        if monitors:
            _Watch(let_go, monitors, scope.clock).begin(unstopped)


def is_unknown(let_go: LetGo) -> bool:
    """Whether it is code that is not known to us, which may have been stopped by other code."""
    return let_go.where.startswith((_NOT_DONE_YET, _UNFINISHED))


def _of(handler: object) -> str:
    """Where a handler is defined; of a method, whose it is: many classes inherit ``render``."""
    if handler is None:
        return ""
    is_method = getattr(handler, "__self__", None) is not None
    return f" of {full_name_of(handler) if is_method else function_at(handler)}"


def _is_among(listeners: Iterable[object], unstopped: Unstopped) -> bool:
    """Whether it is one of the request's own Deferreds, which tell that it is over."""
    runs = unstopped.runs
    return runs is not None and any(each is runs() for each in listeners)


@frozen(eq=False)
class _Watch:
    """Waits for the end of work that was let go. Refers to no request."""

    let_go: LetGo
    monitors: tuple[IMonitor, ...]
    clock: IReactorTime

    def begin(self, unstopped: Unstopped) -> None:
        """Have the monitors told as soon as nothing will fire the Deferred any more."""
        runs = None if unstopped.runs is None else unstopped.runs()
        if runs is None:
            # There is nothing to watch.
            self._ended()
        else:
            finalize(runs, self._gone).atexit = False

    def _gone(self) -> None:
        # It may be dropped in any thread, and by a garbage collection in the middle of anything.
        call = getattr(self.clock, "callFromThread", None)
        if call is None:
            self._ended()
        else:
            call(self._ended)

    def _ended(self) -> None:
        for monitor in self.monitors:
            monitor.let_go_ended(self.let_go)


def _why(unstopped: Unstopped) -> str:
    if unstopped.what == _UNFINISHED:
        return "what the handler returned has ended"
    return "nothing can stop it" if unstopped.runs else "whether it has stopped cannot be observed"


def _log(let_go: LetGo, unstopped: Unstopped) -> None:
    log.info(
        "{request_text}: work was let go and may still be running, because {why_text}: "
        "{where_text} (logged once)",
        let_go=let_go,
        where=let_go.where,
        why_text=_why(unstopped),
        request_text=f"{printable(let_go.method)} {printable(let_go.path)}".strip()
        or "a request that is over",
        where_text=printable(let_go.where),
    )

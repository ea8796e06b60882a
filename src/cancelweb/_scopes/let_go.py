"""Work that was let go: report it to the outcome, the log and the monitors.

`_kinds.let_go` finds the work that nothing can stop before it is asked to stop. Whether it may
still be running shows later: if a Deferred is garbage when all work has settled, nothing can fire
it any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from gc import collect as collect_garbage
from weakref import finalize, ref

from attrs import define, field, frozen
from twisted.internet.interfaces import IProcessProtocol, IReactorTime

from .._kinds.cancellers import Canceller
from .._kinds.let_go import Unstopped
from .._kinds.stacks import shortened
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
"""The work that is let go if the handler returned ``NOT_DONE_YET``."""

_UNFINISHED = "an unfinished response"
"""The work that is let go if the returned work ended without finishing the response."""


@define(eq=False)
class LettingGo:
    """The work of one scope that may have to be let go."""

    _scope: Subject
    # Work that has settled: what it is, since when, why it was asked, and how that makes it end.
    _settled: list[tuple[Unstopped, float, Cause, Ended]] = field(factory=list, init=False)
    _ended: Ended = field(default=Ended.COMPLETED, init=False)

    def was_asked(self, work: Work, works: WorkSet) -> None:
        """Note what nothing could stop in work that was asked to stop, and may have ended."""
        if not (found := work.canceller.unstopped()):
            return
        listeners = getattr(self._scope.request, "notifications", ())
        work.unstopped = [each for each in found if not _is_among(listeners, each)]
        if work.step is ENDED:
            # Our own references must not keep the Deferred alive, or it would never be garbage.
            work.canceller.forget()
            works.drop(work)
            work.canceller = _GONE
        if work.step is not ASKED:
            self.settled(work)

    def settled(self, work: Work) -> None:
        """Handle work that was asked to stop and has ended, or whose end nothing will report."""
        if not work.unstopped:
            return
        # Leftover work does not change how its request has ended.
        ended = Ended.COMPLETED if self._scope.state is ANSWERED else Ended.LET_GO
        found, work.unstopped = work.unstopped, ()
        cause = asked_for(self._scope)
        self._settled += [(each, work.asked_at, cause, ended) for each in found]

    def left_open(self, works: WorkSet) -> None:
        """Let go the unknown code to which the handler left the response of a request that is over.

        Twisted stops a producer; but if that is a process, Twisted only closes its pipes.
        """
        request = self._scope.request
        if works.is_waited_for or self._scope.rare.left_open is LeftOpen.NO:
            return
        if self._scope.ended is not Ended.COMPLETED:
            # A framework's own listener has stopped the tracked work before we asked it.
            return
        producer = getattr(request, "producer", None)
        if producer is None:
            is_of_work = self._scope.rare.left_open is LeftOpen.BY_WORK
            unstopped = Unstopped(_UNFINISHED if is_of_work else _NOT_DONE_YET, runs=ref(request))
        elif IProcessProtocol.providedBy(producer):
            unstopped = Unstopped("a process", runs=ref(producer))
        else:
            # The producer was stopped. In a spared request only the response is cut by that.
            self._ended = Ended.COMPLETED if self._scope.cause is None else Ended.STOPPED
            return
        cause = self._scope.cause or self._scope.would_have_cancelled
        assert cause is not None, "what is over so has been cancelled or spared"
        self._settled.append((unstopped, self._scope.clock.seconds(), cause, Ended.LET_GO))

    def verdict(self) -> Ended:
        """Report what was let go; returns how the work of the scope has ended because of that."""
        found, self._settled = self._settled, []
        if not all(unstopped.has_ended for unstopped, *_ in found):
            # From Python 3.12 on, an error that a coroutine has caught is in a cycle with frames
            # and their callers. That cycle keeps the Deferred alive as if something could still
            # fire it. The cycle is as young as the error; if the collector has run once since, it
            # is in the second generation.
            collect_garbage(1)
        for unstopped, since, cause, ended in found:
            if not unstopped.has_ended:
                _keep_while_running(self._scope.rare.claim, unstopped)
                self._ended = max(self._ended, ended)
                in_copy(self._scope, self._tell, unstopped, since, cause)
        return self._ended

    def _tell(self, unstopped: Unstopped, since: float, cause: Cause) -> None:
        scope = self._scope
        request, monitors = scope.request, scope.options.monitors
        handler = scope.rare.inner_handler or scope.handler
        where = unstopped.where or f"{unstopped.what}{_of(handler)}"
        method, path = (b"", b"") if request is None else (request.method, path_of(request))
        let_go = LetGo(method, path, cause, since, shortened(where))
        if is_new_place(where, scope.clock):
            _log(let_go, unstopped)
        for monitor in monitors:
            monitor.work_let_go(let_go)
        if monitors:
            _Watch(let_go, monitors, scope.clock).begin(unstopped)


def _keep_while_running(claim: object, unstopped: Unstopped) -> None:
    """Keep the claim of a scope alive until what was let go has ended, if that can be observed."""
    runs = None if unstopped.runs is None else unstopped.runs()
    if claim is not None and runs is not None:
        finalize(runs, lambda _: None, claim).atexit = False


def is_unknown(let_go: LetGo) -> bool:
    """Whether this is unknown code, which other code may have stopped."""
    return let_go.where.startswith((_NOT_DONE_YET, _UNFINISHED))


def _of(handler: object) -> str:
    """Where a handler is defined; for a method, its class, as many classes inherit ``render``."""
    if handler is None:
        return ""
    is_method = getattr(handler, "__self__", None) is not None
    return f" of {full_name_of(handler) if is_method else function_at(handler)}"


def _is_among(listeners: Iterable[object], unstopped: Unstopped) -> bool:
    """Whether this is a ``notifyFinish`` Deferred of the request, which Twisted fires."""
    runs = unstopped.runs
    return runs is not None and any(each is runs() for each in listeners)


@frozen(eq=False)
class _Watch:
    """Waits for the end of work that was let go. It refers to no request."""

    let_go: LetGo
    monitors: tuple[IMonitor, ...]
    clock: IReactorTime

    def begin(self, unstopped: Unstopped) -> None:
        """Tell the monitors as soon as nothing can fire the Deferred any more."""
        runs = None if unstopped.runs is None else unstopped.runs()
        if runs is None:
            # There is nothing to watch.
            self._ended()
        else:
            finalize(runs, self._gone).atexit = False

    def _gone(self) -> None:
        # The last reference may be dropped in any thread, or by the collector at any point.
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

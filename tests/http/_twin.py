"""A twin: a random history of one request, with all its observable steps noted.

What belongs here: the further steps, other code that listens, and what is noted. What does not: the
comparison, which is in `_twins`.
"""

import gc
import warnings
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, ClassVar
from unittest.mock import patch
from weakref import ref

from attrs import define
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from zope.interface import implementer

from cancelweb import Draining, cancel_on_disconnect, scope_of
from cancelweb._http import serving
from cancelweb._http.serving import SIMPLE_CHANNEL
from cancelweb.interfaces import IMonitor

from .._loopback import masked
from .._pages import Page
from ..scopes._jobs import Job
from ..scopes._orders import Options, Orders
from ..scopes._promises import Hook
from ._nests import WRAPPED_ONLY
from ._noting import ADDRESS, NOTING, RESULTS, Journal, here


@define(eq=False)
class Listener:
    """A callback of ``notifyFinish`` that notes what it finds."""

    twin: Any
    does: str

    def listen(self) -> None:
        """Call `notifyFinish`; a listener that does "fire" also fires the Deferred by hand."""
        told: Deferred[None] = self.twin.request.notifyFinish()
        told.addBoth(self)
        if self.does == "fire":
            told.callback(None)

    def __call__(self, result: object) -> None:
        """Note what the listener is told, and do what this listener does."""
        what = type(result.value).__name__ if isinstance(result, Failure) else result
        self.twin.scope = scope_of(self.twin.request)
        self.twin.journal.note("listener", self.does, what, here(self.twin.request))
        match self.does:
            case "touch":
                self.twin.request.write(b"late")
            case "finish":
                self.twin.request.finish()
            case "cancel":
                self.twin.journal.note(self.twin.scope.cancel(Draining()))
            case "settle":
                self.twin.settle(0, "end")
            case "track":
                self.twin.track(NOTING[0])
            case "listen":
                Listener(self.twin, "nothing").listen()


@implementer(IMonitor)
@define(eq=False)
class Watcher:
    """A monitor that notes what it is told."""

    journal: Journal
    is_draining: ClassVar[bool] = False
    retry_after: ClassVar[int] = 1
    is_dry_run: bool = False

    def scope_opened(self, scope: Any) -> None:
        """See `IMonitor`."""
        self.journal.note("opened", scope.cause, scope.ended, scope.would_have_cancelled)

    def scope_closed(self, scope: Any) -> tuple[()]:
        """See `IMonitor`."""
        assert scope.request is not None
        self.journal.note("closed", scope.cause, scope.ended, scope.would_have_cancelled)
        return ()

    def scope_withdrawn(self, scope: Any) -> None:
        """See `IMonitor`."""
        self.journal.note("withdrawn", scope.cause)

    def work_survives(self, survivor: Any) -> None:
        """See `IMonitor`."""
        self.journal.note("survives", survivor.cause, survivor.since, survivor.where)

    def survivor_ended(self, survivor: Any) -> None:
        """See `IMonitor`."""
        self.journal.note("ended", survivor.cause, survivor.since, survivor.where)

    def work_let_go(self, let_go: Any) -> None:
        """See `IMonitor`."""
        self.journal.note("let go", let_go.cause, let_go.since, let_go.where)

    def let_go_ended(self, let_go: Any) -> None:
        """See `IMonitor`; not noted, since the moment of a garbage collection is not compared."""

    def work_detached(self, work: Any) -> None:
        """See `IMonitor`; no work of the histories is detached."""

    def detached_work_ended(self, work: Any) -> None:
        """See `IMonitor`."""


PUBLISHER: Any = globalLogPublisher


class NoChannel:
    """A channel class that no request has, so that no request takes the fast path."""


class Twin(Orders):
    """A request that takes the same steps as its twin; the tests of `Orders` check its promises."""

    def __init__(self, has_fast_path: bool, extras: Options, flush: Callable[[], object]) -> None:
        super().__init__()
        self._flush = flush
        self.journal = Journal()
        self.extras = extras
        self._channel = SIMPLE_CHANNEL if has_fast_path else NoChannel

    def act(self, name: str, *args: Any) -> None:
        """Take a step, and note all that it leads to."""
        Journal.acting = self.journal
        self.journal.note("step", name, *args)
        with patch.object(serving, "SIMPLE_CHANNEL", self._channel), self._warnings():
            try:
                copy_context().run(getattr(self, name), *args)
            except Exception as error:
                self.journal.note("raised", type(error).__name__, error)
        self._flush()
        self.journal.note("frames of coroutines", *self._frames())
        # What is garbage now was of this twin.
        gc.collect()

    @contextmanager
    def _warnings(self) -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for each in caught:
            self.journal.note("warned", each.message)

    def _frames(self) -> list[bool]:
        """Which coroutine frames are still alive before a garbage collection."""
        jobs: list[Any] = [*self.jobs, *self.jobs_of_hooks]
        return [each() is not None for job in jobs for each in getattr(job, "locals", ())]

    def facts(self) -> list[str]:
        """The facts about the request that can be observed between two steps."""
        scope: Any = self.scope
        calls = sorted(call.getTime() for call in self.connection.client.clock.getDelayedCalls())
        names = ["state", "fate", "cause", "ended", "would_have_cancelled", "deadline"]
        facts = {each: getattr(scope, each) for each in names} | {
            "remaining": scope.remaining(),
            "has request": scope.request is not None,
            "of the request": str(scope_of(self.request)).split(", ")[1:],
            "received": masked(self.connection.received),
            "connection": (self.connection.is_aborted, self.connection.is_closed),
            "request": (self.request.finished, sorted(vars(self.request))),
            "jobs": [(each.asked, each.has_ended) for each in self.jobs + self.jobs_of_hooks],
            "hooks": [each.runs for each in self.hooks],
            "calls": calls,
        }
        return [ADDRESS.sub("0x", f"{name}: {fact}") for name, fact in facts.items()]

    # --- as in `Orders`, without a look at what must hold ---

    def note_warning(self, event: LogEvent) -> None:
        """Note a log event."""
        self.journal.note_event(event)

    def ran(self, hook: Hook, scope: Any) -> None:
        """Note that a hook runs."""
        hook.at_once = hook is self.registering
        self.journal.note("hook", self.hooks.index(hook), hook.does, here(self.request))

    def check_survivors(self) -> None:
        """Do nothing: the journal has the survivors."""

    def check_told(self, job: Job, how: str, was_open: bool) -> None:
        """Do nothing: the journal has what was told."""

    def acting(self, act: Callable[[], object]) -> None:
        """Act, without the checks of `Orders`."""
        act()

    def leave(self) -> None:
        """The client leaves."""
        self.connection.disconnect()

    def options(self, timeouts: Iterable[float | None], has_inner: bool) -> list[Options]:
        """The options of `Orders`, with the observers, monitors and hooks that the twins have."""
        outer, inner = super().options(timeouts, has_inner)
        if self.extras["told"] == "observer":
            outer["observers"] = self.journal.note_outcome
        elif self.extras["told"] == "none":
            outer["observers"] = ()
        if self.extras["monitored"] and self.extras["entry points"] in WRAPPED_ONLY:
            outer["monitor"] = Watcher(self.journal)
        for each in self.extras["hooks"]:
            outer[each] = self.new_hook(self.extras["hook"], each == "on_cancel")
        return [outer, inner]

    def enter(self, resource: Any, method: bytes, entry: str) -> None:
        """Ask for the page; a HEAD may be faked outside, and the handler may listen itself."""

        def render(request: Any) -> object:
            self.request = request
            if request.method == b"HEAD" and self.extras["faked outside"]:
                raise UnsupportedMethod((b"GET",))
            if self.extras["listens"]:
                self.listen(self.extras["listens"])
            return resource.render(request)

        try:
            super().enter(Page(render), method, entry)
        finally:
            self.scope = scope_of(self.request)

    # --- further steps ---

    def listen(self, does: str) -> None:
        """Let other code listen for the end of the request."""
        Listener(self, does).listen()

    def come_to(self, what: str) -> None:
        """Let the returned work come to something other than a page."""
        if self.returned is not None and not self.returned.gate.called:
            self.returned.settle(RESULTS[what]())
            self.connection.client.clock.advance(0)

    def join(self, kind: type[Job], timeout: float | None, has_hook: bool) -> None:
        """Let another entry point meet the request."""

        def handler(request: Any) -> Any:
            job = kind(request, self.connection.client.clock)
            self.jobs.append(job)
            return job.start()

        hook: Any = self.new_hook() if has_hook else ()
        entry_point = cancel_on_disconnect(timeout=timeout, on_exit=hook)(handler)
        self.journal.note("inside", entry_point(self.request))

    def vanish(self) -> list["ref[Any]"]:
        """Drop all that the twin holds; returns weak references to it."""
        Journal.acting = self.journal
        left = [ref(self.request), ref(self.scope), *map(ref, self.jobs + self.jobs_of_hooks)]
        PUBLISHER.removeObserver(self.note_warning)
        PUBLISHER.addObserver(self.journal.note_event)
        vars(self).clear()
        return left

"""Random histories of one request.

Each machine is one request: its handler behind its entry points, what is tracked and registered,
and what then happens. What must hold at each step is in `_promises`. The short run is in
`test_orders`, the long one in `hammer`.
"""

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from twisted.web.server import NOT_DONE_YET
from twisted.web.util import DeferredResource

from cancelweb import (
    Disconnected,
    Draining,
    Outcome,
    TimedOut,
    current_scope,
    scope_of,
)

from .._pages import PAGE, Page
from .._visits import connect
from ..http._nests import ENTRY_POINTS, WRAPPED_ONLY, decorated, wrapped
from ._jobs import KINDS, Job, Loop, Timer, WorkError
from ._promises import PATIENCE, Hook, Promises

Options = dict[str, Any]


def go_on(job: Job, result: object) -> None:
    """Have work go on; a cancel that this causes is not one by its scope, and is not counted."""
    asked = job.asked
    job.settle(result)
    job.asked = asked


class Orders(Promises):
    """A request, and what happens to it."""

    # --- how it begins ---

    @initialize(
        entry_points=st.sampled_from(ENTRY_POINTS),
        kind=st.sampled_from([None, *KINDS]),
        method=st.sampled_from([b"GET", b"POST", b"HEAD"]),
        entry=st.sampled_from(["at once", "late", "left", "finished"]),
        is_plain=st.booleans(),
        timeouts=st.tuples(*[st.sampled_from([None, 2, 4])] * 2),
        dry_run=st.booleans(),
    )
    def begin(
        self,
        entry_points: Any,
        kind: type[Job] | None,
        method: bytes,
        entry: str,
        is_plain: bool,
        timeouts: tuple[float | None, float | None],
        dry_run: bool,
    ) -> None:
        """Ask for a page that one piece of work makes, or that no work of the handler answers.

        Twisted fakes a HEAD with a GET. The page may be found late, when the client has left or
        has been answered. Plain entry points have neither hooks nor observers.
        """
        self.outcomes: list[Outcome] = []
        self.jobs: list[Job] = []
        self.jobs_of_hooks: list[Job] = []
        self.late: list[Job] = []
        self.hooks: list[Hook] = []
        self.stack: list[Hook] = []
        self.registering: Hook | None = None
        self.sealed: bytes | None = None
        self.has_written = self.has_failed = self.has_run = self.is_faked_head = False
        self.returned: Job | None = None
        self.errors: list[Failure] = []
        self.told_of: set[Job] = set()
        self.survivors: set[Job] = set()
        self.warnings = 0
        globalLogPublisher.addObserver(self.note_warning)  # type: ignore[arg-type]
        self.dry_run = dry_run and entry_points in WRAPPED_ONLY
        self.may_cancel = method != b"POST" or entry_points not in WRAPPED_ONLY
        self.is_watched = not is_plain
        # Where the handler is not run, the entry point inside may not be met.
        has_inner = entry_points not in (decorated, wrapped) and entry in ("at once", "late")
        outer, inner = self.options(timeouts, has_inner)

        def handler(request: Any) -> object:
            self.request = request
            if request.method == b"HEAD" and not self.is_dead:
                self.is_faked_head = True
                raise UnsupportedMethod((b"GET",))
            self.has_run = True
            assert scope_of(request) is current_scope(), "not one scope"
            if kind is None:
                return NOT_DONE_YET
            self.returned = kind(request, self.connection.client.clock)
            self.jobs.append(self.returned)
            return self.returned.start()

        self.enter(entry_points(handler, outer, inner), method, entry)

    def options(self, timeouts: Iterable[float | None], has_inner: bool) -> list[Options]:
        """What the entry points are given."""
        both: list[Options] = [{"timeout": each} for each in timeouts]
        outer, inner = both
        outer |= {"survivor_after": PATIENCE, "cleanup_timeout": PATIENCE}
        if self.dry_run:
            outer["dry_run"] = True
        if self.is_watched:
            outer |= {"observers": self.outcomes.append, "on_exit": self.new_hook()}
            if has_inner:
                inner["on_exit"] = self.new_hook()
        return both

    def enter(self, resource: Any, method: bytes, entry: str) -> None:
        """Ask for the page, which is found at once or late."""
        found: Deferred[Any] = Deferred()

        def find(request: Any) -> object:
            self.request = request
            return DeferredResource(found).render(request)

        is_late = entry != "at once"
        self.connection = connect(Page(find) if is_late else resource)
        self.connection.request(method)
        if is_late:
            self.die(entry)
            is_refused = self.is_dead and self.may_cancel and not self.dry_run
            found.callback(resource)
            assert self.has_run != is_refused, "6: run in vain, or not run"
        self.scope = scope_of(self.request)

    def die(self, how: str) -> None:
        """Have the client leave, or be answered, if that is how the page is found."""
        if how == "left":
            self.connection.disconnect()
        elif how == "finished":
            self.request.finish()

    def note_warning(self, event: LogEvent) -> None:
        """Count the survivors that are named."""
        self.warnings += " still runs {seconds:g} s after it was asked" in str(
            event.get("log_format")
        )

    def new_hook(self, does: str = "return", for_cancelled: bool = False) -> Hook:
        """Put a new hook on the stack."""
        hook = Hook(self, does, for_cancelled)
        self.hooks.append(hook)
        self.stack.append(hook)
        return hook

    # --- what happens ---

    @rule(kind=st.sampled_from(KINDS))
    def track(self, kind: type[Job]) -> None:
        """Track more work."""
        job = kind(self.request, self.connection.client.clock)
        (self.jobs_of_hooks if self.is_cleaning else self.jobs).append(job)
        if self.request.finished:
            self.late.append(job)
        self.scope.track(job.start())

    @rule(
        does=st.sampled_from(["return", "raise", "wait", "register", "track", "cancel"]),
        for_cancelled=st.booleans(),
    )
    def register(self, does: str, for_cancelled: bool) -> None:
        """Register a hook."""
        is_too_late = does == "cancel" and not self.is_cleaning
        outer, hook = self.registering, self.new_hook("return" if is_too_late else does)
        hook.for_cancelled = for_cancelled
        self.registering = hook
        (self.scope.on_cancel if for_cancelled else self.scope.on_exit)(hook)
        if hook.at_once or (for_cancelled and self.is_closed):
            self.stack.remove(hook)
        self.registering = outer

    @precondition(lambda self: self.jobs)
    @rule(index=st.integers(0, 5), how=st.sampled_from(["end", "fail", "cancel"]))
    def settle(self, index: int, how: str) -> None:
        """Some work goes on or ends: well, badly, or because other code has cancelled it."""
        job = self.jobs[index % len(self.jobs)]
        had_ended, is_first = job.has_ended, not job.gate.called
        is_open = not self.is_dead and self.scope.cause is None
        error = {"fail": WorkError(), "cancel": CancelledError()}.get(how)
        go_on(job, Failure(error) if error else PAGE if job is self.returned else None)
        self.has_failed |= how != "end"
        self.connection.client.clock.advance(0)
        leaves_the_answer = isinstance(job, Timer | Loop)
        if job.has_ended and not had_ended and is_first and not leaves_the_answer:
            self.check_told(job, how, is_open)

    def check_told(self, job: Job, how: str, was_open: bool) -> None:
        """What became of the returned work has been sent; an error has been logged."""
        errors = type(self).flush()
        self.errors += errors
        is_answer = job is self.returned and was_open and self.scope.cause is None
        if how == "fail" and (is_answer or job.fails_openly):
            assert [each for each in errors if each.check(WorkError)], "swallowed"
        if is_answer:
            assert self.is_dead or self.connection.is_aborted, "hangs"
            if not self.has_written:
                assert self.connection.response.code == (200 if how == "end" else 500)

    @rule(seconds=st.sampled_from([0, 1, 2, 5]))
    def advance(self, seconds: int) -> None:
        """Time goes by."""
        for _ in range(seconds or 1):
            self.acting(lambda: self.connection.client.clock.advance(min(seconds, 1)))
            self.check_survivors()

    @rule()
    def leave(self) -> None:
        """The client leaves."""
        was_open, before = not self.is_dead, self.scope.cause
        self.connection.disconnect()
        if was_open and before is None and self.may_cancel and not self.dry_run:
            assert isinstance(self.scope.cause, Disconnected), "not cancelled"
        else:
            assert self.scope.cause == before

    @rule()
    def finish(self) -> None:
        """Other code finishes the response."""
        if not self.is_dead:
            self.request.finish()

    @rule()
    def write(self) -> None:
        """Other code writes a part of the response."""
        if not self.is_dead:
            self.has_written = True
            self.request.write(b"part")

    @rule()
    def cancel(self) -> None:
        """The server cancels."""
        self.acting(lambda: self.scope.cancel(Draining()))

    def acting(self, act: Callable[[], object]) -> None:
        """Act; if this cancels the request of a client that waits, it is answered in this turn."""
        was_open, before = not self.is_dead, self.scope.cause
        act()
        cause = self.scope.cause
        if was_open and before is None and isinstance(cause, Draining | TimedOut):
            if self.has_written:
                assert self.connection.is_aborted, "not aborted"
            else:
                assert self.connection.response.code == 503, "not answered"

    @rule()
    def finish_hooks(self) -> None:
        """All hooks that wait come to an end."""
        for hook in self.hooks:
            if not hook.done.called:
                hook.done.callback(None)

    @precondition(lambda self: self.is_dead)
    @rule()
    def touch(self) -> None:
        """Other code uses a dead request as if it were alive."""
        producer = StringTransport()
        self.request.write(b"late")
        self.request.registerProducer(producer, True)
        assert producer.producerState == "stopped"
        self.request.unregisterProducer()
        self.request.loseConnection()
        if not self.request.finished:
            self.request.finish()

    # --- how it ends ---

    def teardown(self) -> None:
        """The client leaves at last, a long time goes by, and all work ends."""
        self.leave()
        self.advance(PATIENCE + 1)
        self.end_all()
        self.advance(PATIENCE * (len(self.hooks) + 3))
        globalLogPublisher.removeObserver(self.note_warning)  # type: ignore[arg-type]
        self.promises()
        self.check_end()
        self.check_nothing_is_left()

    def end_all(self) -> None:
        """End all work, including the work that waits twice."""
        for job in 2 * (self.jobs + self.jobs_of_hooks):
            if not job.has_ended:
                go_on(job, None)


def run_histories(orders: Any, histories: int, steps: int) -> None:
    """Run random histories of at most this many steps, and check what is left of them."""
    run_state_machine_as_test(
        orders,
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    orders.check_remains()

"""The time that cleanup hooks have: one limit for all hooks of a scope.

What else may go wrong with a hook is for `test_hooks_isolation`, drains for
`operating.test_drain_end`.
"""

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, formatEvent

from cancelweb import Ended, Scope, current_scope

from .._logs import log_events, of_cancelweb
from .._pages import waiting
from .._visits import Visit
from .._work import Errand
from ._hooks import HookTestCase

USED_UP = "the cleanup_timeout of 10 s is used up"


class AllHooksShareOneTimeLimitTests(HookTestCase):
    """Promise 3: `cleanup_timeout` is for all hooks of a scope together."""

    def hanging(self, name: str) -> Deferred[None]:
        """Work that never ends by itself, kept under this name."""
        work: Deferred[None] = Deferred()
        self.works[name] = work
        return work

    def setUp(self) -> None:
        """Note what hangs and what is logged."""
        super().setUp()
        self.works: dict[str, Deferred[None]] = {}
        self.events = log_events(self)

    def hooks(self, count: int) -> list[object]:
        """This many hooks that hang; the one with the highest number is called first."""
        names = [f"hook {number}" for number in range(count)]
        return [self.hook(name, self.hanging(name)) for name in names]

    @property
    def errors(self) -> list[str]:
        """The lines of the log that are errors."""
        return [formatEvent(each) for each in of_cancelweb(self.events, LogLevel.error)]

    def test_the_rest_is_called_but_not_waited_for(self) -> None:
        """When the time is used up, all other hooks are called at once, in their order."""
        visit = Visit(waiting, on_cancel=self.hooks(3))
        visit.disconnect()
        visit.clock.advance(9.9)
        self.assertEqual((self.ran, visit.outcomes), (["hook 2"], []))
        visit.clock.advance(0.2)
        self.assertEqual(self.ran, ["hook 2", "hook 1", "hook 0"])
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        self.assertEqual(visit.clock.getDelayedCalls(), [])

    def test_what_is_logged(self) -> None:
        """The log has a line for the hook that was waited for, and one for the other hooks."""
        visit = Visit(waiting, on_cancel=self.hooks(2))
        visit.disconnect()
        visit.clock.advance(10)
        [late, others] = self.errors
        self.assertRegex(late, rf"^cleanup hook \S+ still runs, and {USED_UP}: going on without it")
        self.assertRegex(others, rf"^{USED_UP}: not waiting for these cleanup hooks: \S+noting$")

    def test_three_are_named(self) -> None:
        """The log names three hooks that are not waited for, where there are no more."""
        visit = Visit(waiting, on_cancel=self.hooks(4))
        visit.disconnect()
        visit.clock.advance(10)
        [_, others] = self.errors
        self.assertRegex(others, r"hooks: (\S+noting, ){2}\S+noting$")

    def test_many_are_counted(self) -> None:
        """The log names three of the hooks that are not waited for, and counts the others."""
        visit = Visit(waiting, on_cancel=self.hooks(18_000))
        visit.disconnect()
        visit.clock.advance(10)
        self.assertEqual(len(self.ran), 18_000)
        [_, others] = self.errors
        self.assertRegex(others, r"hooks: (\S+noting, ){3}17996 more$")

    def test_those_that_need_no_waiting_are_not_named(self) -> None:
        """Hooks that need no waiting are not logged, although the time is used up."""
        ended = Errand()
        ended.end()
        rest = [self.hook("plain"), self.hook("ended", ended)]
        visit = Visit(waiting, on_cancel=[*rest, *self.hooks(1)])
        visit.disconnect()
        visit.clock.advance(10)
        self.assertEqual(self.ran, ["hook 0", "ended", "plain"])
        self.assertEqual(len(self.errors), 1)

    def test_one_that_fails_unawaited(self) -> None:
        """The error of a hook that is not waited for is logged all the same."""
        visit = Visit(waiting, on_cancel=self.hooks(2))
        visit.disconnect()
        visit.clock.advance(10)
        self.works["hook 0"].errback(ValueError())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_time_that_others_have_used(self) -> None:
        """A hook has the time that others have left, and the log names the whole limit."""
        visit = Visit(waiting, on_cancel=self.hooks(2), cleanup_timeout=3)
        visit.disconnect()
        visit.clock.advance(2)
        self.works["hook 1"].callback(None)
        visit.clock.advance(0.9)
        self.assertEqual(visit.outcomes, [])
        visit.clock.advance(0.2)
        self.assertEqual(visit.outcome.ended, Ended.STOPPED)
        [late] = self.errors
        self.assertIn("the cleanup_timeout of 3 s is used up", late)

    def test_a_hook_that_blocks(self) -> None:
        """Time in which a hook blocks the reactor counts, for itself and for the next hooks."""

        def blocking(scope: Scope) -> None:
            visit.clock.rightNow += 11

        def blocking_and_hanging(scope: Scope) -> Deferred[None]:
            blocking(scope)
            return Deferred()

        for hook in (blocking, blocking_and_hanging):
            visit = Visit(waiting, on_cancel=[self.hook("after", Deferred[None]()), hook])
            visit.disconnect()
            self.assertEqual(self.ran.pop(), "after")
            self.assertEqual(visit.outcome.ended, Ended.STOPPED)

    def test_begins_with_the_first_hook(self) -> None:
        """The time limit begins with the first hook, not while work is being stopped."""
        visit = Visit(lambda _: Errand(obedient=False), survivor_after=60, on_cancel=self.hooks(1))
        visit.disconnect()
        visit.clock.advance(60)
        visit.clock.advance(9.9)
        self.assertEqual(visit.outcomes, [])
        visit.clock.advance(0.2)
        self.assertEqual(len(visit.outcomes), 1)

    def test_hooks_of_handlers_and_entry_points_share_it(self) -> None:
        """Hooks that a handler, another hook and an entry point add share one time limit."""

        def adding(scope: Scope) -> None:
            scope.on_exit(self.hook("added by a hook", self.hanging("by a hook")))

        def handler(request: object) -> Deferred[bytes]:
            current_scope().on_cancel(self.hook("added by the handler", self.hanging("by it")))
            current_scope().on_cancel(adding)
            return Deferred()

        visit = Visit(handler, on_exit=self.hooks(1))
        visit.disconnect()
        visit.clock.advance(10)
        self.assertEqual(self.ran, ["added by a hook", "added by the handler", "hook 0"])
        self.assertEqual(len(visit.outcomes), 1)

    def test_on_a_closed_scope_each_has_its_own(self) -> None:
        """Each hook on a closed scope has a time limit of its own."""
        visit = Visit(waiting)
        visit.disconnect()
        for _ in range(2):
            visit.scope.on_exit(self.hook("late", Deferred[None]()))
            visit.clock.advance(6)
        self.assertEqual((self.ran, len(self.errors)), (["late", "late"], 1))
        visit.clock.advance(3.9)
        self.assertEqual(len(self.errors), 1)
        visit.clock.advance(0.2)
        self.assertEqual(len(self.errors), 2)

    def test_on_a_scope_that_has_just_closed(self) -> None:
        """A hook that an observer adds has a time limit of its own, though the others' is over."""

        def observer(outcome: object) -> None:
            visit.scope.on_exit(self.hook("late", Deferred[None]()))

        visit = Visit(waiting, on_exit=self.hooks(1), observers=observer)
        visit.disconnect()
        visit.clock.advance(10)
        self.assertEqual((self.ran, len(self.errors)), (["hook 0", "late"], 1))
        visit.clock.advance(10)
        self.assertEqual(len(self.errors), 2)

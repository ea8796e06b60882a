"""What a user's canceller may have besides `ICancellable`: each detail alone, and at fault.

What belongs here: `ICancellableDetails`, and that a canceller without any of it works. What does
not: `ICancellable` itself (`test_own_kinds`).
"""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent
from twisted.python.components import registerAdapter
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer, verify

from cancelweb import Ended, ICancellable, ICancellableDetails, Scope, scope_of
from cancelweb._kinds.own_kinds import UserCanceller
from cancelweb._kinds.registry import canceller_for, find_canceller

from .._docs import CANCELLER_DETAILS, run
from .._logs import log_events, of_cancelweb
from .._pages import PAGE
from ..scopes._tracking import Query, TrackingTestCase, finish


@implementer(ICancellable)
class Plain:
    """A canceller that declares no details, as in the first edition."""

    def __init__(self) -> None:
        self.settled: Deferred[Any] = Deferred()
        self.cancels = 0

    def cancel(self) -> None:
        """Count the cancel; the work ends only when the test says so."""
        self.cancels += 1

    def when_settled(self) -> Deferred[Any]:
        return self.settled


@implementer(ICancellable, ICancellableDetails)
class Detailed(Plain):
    """A canceller that has all of `ICancellableDetails`."""

    clock = None
    survivor_after: Any = None
    is_end_observable: Any = True

    def where(self) -> Any:
        return "farm\njob 17"

    def response_over(self) -> None:
        self.settled.callback(NOT_DONE_YET)


class Job:
    """Work of the user's own, without a repr."""


class JobCanceller(Plain):
    """The canceller of a Job, without a repr."""

    def __init__(self, job: Job) -> None:
        super().__init__()


registerAdapter(JobCanceller, Job, ICancellable)


class DetailsTestCase(TrackingTestCase):
    """Cancellers of requests whose client leaves."""

    def setUp(self) -> None:
        super().setUp()
        self.events = log_events(self)

    def lines(self, level: LogLevel = LogLevel.warn) -> list[str]:
        """What was logged at this level or above."""
        return [formatEvent(each) for each in of_cancelweb(self.events, level)]

    def leave(self, work: object) -> None:
        """Visit a page that returns the work, and disconnect."""
        self.visit(lambda _: work).disconnect()


class InterfaceTests(DetailsTestCase):
    """The two interfaces, and cancellers that have only `ICancellable`."""

    def test_declared(self) -> None:
        """A canceller without details is an `ICancellable`; one with all of them is both."""
        self.assertTrue(verify.verifyObject(ICancellable, Plain()))
        self.assertTrue(verify.verifyObject(ICancellable, Detailed()))
        self.assertTrue(verify.verifyObject(ICancellableDetails, Detailed()))

    def test_needs_no_details(self) -> None:
        """A canceller without any detail is asked to stop, waited for and reported."""
        work = Plain()
        self.leave(work)
        self.assertEqual((work.cancels, self.outcomes), (1, []))
        self.clock.advance(5)
        self.assertEqual(self.outcome.ended, Ended.SURVIVED)
        [line] = self.lines()
        name = "tests.kinds.test_cancellers_details.Plain"
        self.assertEqual(line, f"{name} of GET / still runs 5 s after it was asked to stop")

    def test_other_attributes_of_the_same_names(self) -> None:
        """An older canceller's attributes with the names of details are left alone."""
        work: Any = Plain()
        work.clock, work.where = own = Clock(), "WHERE id = 17"
        work.response_over = True
        self.leave(work)
        work.settled.errback(CancelledError())
        self.assertEqual(((work.clock, work.where), self.lines()), (own, []))
        self.assertEqual(canceller_for(work).where(), "tests.kinds.test_cancellers_details.Plain")
        self.assertEqual(self.outcome.ended, Ended.STOPPED)

    def test_is_wrapped(self) -> None:
        """Scopes see a `UserCanceller`, which has the work and the user's own canceller."""
        job, work = Job(), Plain()
        for each, own in (work, Plain), (job, JobCanceller):
            canceller = find_canceller(each)
            assert isinstance(canceller, UserCanceller)
            self.assertIs(canceller.work, each)
            self.assertIs(type(canceller.own), own)


class ClockTests(DetailsTestCase):
    """The detail ``clock`` of a canceller."""

    def test_is_set_before_cancel(self) -> None:
        """A canceller has the clock of its scope when ``cancel`` is called."""
        clocks: list[object] = []

        class Timed(Detailed):
            def cancel(self) -> None:
                clocks.append(self.clock)

        work = Timed()
        self.leave(work)
        self.assertEqual(clocks, [self.clock])
        work.settled.callback(None)

    def test_that_cannot_be_set(self) -> None:
        """A canceller whose ``clock`` cannot be set is logged, and asked to stop all the same."""

        class Fixed(Plain):
            @property
            def clock(self) -> None:
                return None

        work = Fixed()
        self.leave(work)
        self.assertEqual((work.cancels, len(self.flushLoggedErrors(AttributeError))), (1, 1))
        self.assertIn("clock of the canceller", self.lines(LogLevel.critical)[0])
        work.settled.callback(None)


class PatienceTests(DetailsTestCase):
    """The detail ``survivor_after`` of a canceller."""

    def leave_patient(self, survivor_after: object) -> Detailed:
        """Leave work that asks for so much time to stop."""
        work = Detailed()
        work.survivor_after = survivor_after
        self.leave(work)
        return work

    def test_more_than_the_scopes(self) -> None:
        """The scope waits 30 s for work whose ``survivor_after`` is 30, before it is a survivor."""
        self.leave_patient(30)
        self.clock.advance(29)
        self.assertEqual(self.outcomes, [])
        self.clock.advance(1)
        self.assertEqual(self.outcome.ended, Ended.SURVIVED)

    def test_less_than_the_scopes(self) -> None:
        """The scope waits the usual 5 s for work whose ``survivor_after`` is 1."""
        self.leave_patient(1)
        self.clock.advance(4)
        self.assertEqual(self.outcomes, [])
        self.clock.advance(1)
        self.assertEqual(self.outcome.ended, Ended.SURVIVED)

    def test_wrong(self) -> None:
        """A ``survivor_after`` that is not a number of seconds is logged and ignored."""
        for wrong in "30", True, -1, float("inf"), float("nan"):
            self.outcomes.clear()
            self.leave_patient(wrong)
            [failure] = self.flushLoggedErrors(TypeError)
            self.assertEqual(
                failure.getErrorMessage(),
                "survivor_after of tests.kinds.test_cancellers_details.Detailed must be a number "
                f"of seconds, 0 or more, or None, not {wrong!r}",
            )
            self.clock.advance(5)
            self.assertEqual(self.outcome.ended, Ended.SURVIVED)

    def test_set_by_a_cancel_that_raises(self) -> None:
        """A ``survivor_after`` that is set by a ``cancel`` which then raises is read."""

        class Failing(Detailed):
            def cancel(self) -> None:
                self.survivor_after = 30
                raise KeyError

        canceller = canceller_for(Failing())
        self.assertRaises(KeyError, canceller.cancel)
        self.assertEqual(canceller.survivor_after, 30)


class ObservableTests(DetailsTestCase):
    """The detail ``is_end_observable`` of a canceller."""

    def test_false(self) -> None:
        """Work whose end cannot be observed is let go, which is logged, and is not a survivor."""

        class Unseen(Detailed):
            def cancel(self) -> None:
                super().cancel()
                self.is_end_observable = False

        work, scopes = Unseen(), list[Scope]()

        def handler(request: Request) -> object:
            scopes.append(scope_of(request))
            return work

        self.visit(handler).disconnect()
        self.assertEqual(work.cancels, 1)
        self.assertEqual(self.outcome.ended, Ended.LET_GO)
        self.clock.advance(5)
        self.assertEqual(self.lines(), [])
        told, described = self.lines(LogLevel.info), canceller_for(work).describe()
        let_go = (
            "work was let go and may still be running, because whether it has stopped cannot be "
            f"observed: {described}"
        )
        self.assertIn(f"GET /: {let_go} of ", told[0])
        scopes[0].track(Unseen())
        late = self.lines(LogLevel.info)[len(told) :]
        self.assertEqual(late, [f"a request that is over: {let_go} (logged once)"])

    def test_wrong(self) -> None:
        """An ``is_end_observable`` that is not a bool is logged, and the scope waits as usual."""
        work = Detailed()
        work.is_end_observable = None
        self.leave(work)
        [failure] = self.flushLoggedErrors(TypeError)
        self.assertIn("must be True or False, not None", failure.getErrorMessage())
        self.assertEqual(self.outcomes, [])
        work.settled.callback(None)


class WhereTests(DetailsTestCase):
    """The detail ``where()`` of a canceller, and what is told without it."""

    def test_is_reported(self) -> None:
        """The report of a survivor has the text of ``where()`` behind the name of its class."""
        self.leave(Detailed())
        self.clock.advance(5)
        [line] = self.lines()
        self.assertTrue(line.startswith(f"{__name__}.Detailed of GET / "), line)
        self.assertTrue(line.endswith("and waits at farm\njob 17"), line)

    def test_cannot_forge_a_line(self) -> None:
        """A control character in the text of ``where()`` is escaped."""

        class Telling(Detailed):
            def where(self) -> str:
                return "job \x1b[2J"

        self.assertEqual(canceller_for(Telling()).where(), "job \\x1b[2J")

    def test_that_needs_arguments(self) -> None:
        """A method ``where`` that needs arguments is not called, and nothing is logged."""

        class Query(Plain):
            def where(self, condition: str) -> None:
                raise NotImplementedError(condition)

        canceller = canceller_for(Query())
        self.assertEqual(canceller.where(), canceller.describe())
        self.assertEqual(self.lines(), [])

    def assert_fault(self, work: object, error: type[Exception], message: str) -> None:
        """The fault of ``where()`` is logged once, and the work is described instead."""
        canceller = canceller_for(work)
        for _ in range(2):
            self.assertEqual(canceller.where(), canceller.describe())
        [failure] = self.flushLoggedErrors(error)
        self.assertIn(message, failure.getErrorMessage())
        [line] = self.lines(LogLevel.critical)
        self.assertEqual(line, f"where() of the canceller {canceller.describe()} failed")

    def test_raises(self) -> None:
        """A ``where()`` that raises is logged once, and the work is described instead."""

        class Raising(Detailed):
            def where(self) -> str:
                raise KeyError("lost")

        self.assert_fault(Raising(), KeyError, "lost")

    def test_wrong(self) -> None:
        """A ``where()`` that returns no str is logged once, and the work is described instead."""

        class Wrong(Detailed):
            def where(self) -> Any:
                return 17

        self.assert_fault(Wrong(), TypeError, "must return a str, not 17")

    def test_nothing(self) -> None:
        """If ``where()`` returns an empty text, the work is described instead."""

        class Silent(Detailed):
            def where(self) -> str:
                return ""

        canceller = canceller_for(Silent())
        self.assertEqual(canceller.where(), canceller.describe())

    def test_description(self) -> None:
        """A canceller is described by a repr if there is one, or else by its work's class."""
        self.assertEqual(canceller_for(Job()).describe(), "tests.kinds.test_cancellers_details.Job")
        query = Query()
        self.assertEqual(canceller_for(query).describe(), repr(query))


class ResponseOverTests(DetailsTestCase):
    """The detail ``response_over()`` of a canceller."""

    def test_settles(self) -> None:
        """Work that settles in ``response_over()`` completes with the response, uncancelled."""
        work = Detailed()

        def handler(request: Any) -> object:
            self.request = request
            return work

        connection = self.visit(handler)
        finish(self.request)
        self.assertEqual((connection.response.body, work.cancels), (PAGE, 0))
        self.assertEqual(self.outcome.ended, Ended.COMPLETED)

    def test_raises(self) -> None:
        """A ``response_over()`` that raises is logged."""

        class Raising(Detailed):
            def response_over(self) -> None:
                raise KeyError

        canceller_for(Raising()).response_over()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertIn("response_over() of the canceller", self.lines(LogLevel.critical)[0])

    def test_is_optional(self) -> None:
        """A canceller without ``response_over()`` may be told that the response is over."""
        canceller_for(Plain()).response_over()


class SettledTests(DetailsTestCase):
    """The method ``when_settled()`` of a canceller, and what the log says about its faults."""

    def test_wrong(self) -> None:
        """A ``when_settled()`` that returns no Deferred is logged with what it returned: 500."""

        class Wrong(Plain):
            def when_settled(self) -> Any:
                return 17

        self.assert_failed(self.visit(lambda _: Wrong()), TypeError)
        # The same once more, tracked.
        self.track(Wrong())
        [failure] = self.flushLoggedErrors(TypeError)
        self.assertRegex(failure.getErrorMessage(), r"^when_settled\(\) of .* not 17$")


class ShownTests(DetailsTestCase):
    """The example in the how-to page, which has all details."""

    def setUp(self) -> None:
        super().setUp()
        self.names = run(CANCELLER_DETAILS.read_text())

    def test_stops(self) -> None:
        """A render job that stops 19 s after the order to abort is not killed."""
        job = self.names["RenderJob"](17, "node4")
        self.leave(job)
        self.assertEqual(job.orders, ["abort"])
        self.clock.advance(19)
        job.ended.errback(CancelledError())
        self.assertEqual((self.outcome.ended, self.lines()), (Ended.STOPPED, []))
        self.clock.advance(1)
        self.assertEqual(job.orders, ["abort"])

    def test_survives(self) -> None:
        """A render job that does not abort is killed, and reported with its number and node."""
        job = self.names["RenderJob"](17, "node4")
        self.leave(job)
        self.clock.pump([20, 5])
        self.assertEqual(job.orders, ["abort", "kill"])
        [line] = self.lines()
        self.assertIn("waits at render farm, job 17 on node4", line)

    def test_does_not_report(self) -> None:
        """A render job on an old node is not waited for, after a cancel or after the response."""
        job = self.names["RenderJob"](17, "node1", reports=False)
        self.leave(job)
        self.assertEqual((job.orders, len(self.outcomes)), (["abort"], 1))

        def handler(request: Any) -> object:
            finish(request)
            return self.names["RenderJob"](18, "node1", reports=False)

        self.visit(handler)
        self.assertEqual(len(self.outcomes), 2)

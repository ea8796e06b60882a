"""`Shared`: the failure of a run is told to each waiter separately.

What belongs here: failures, and their tracebacks. What does not: runs that are cancelled.
"""

import gc
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cancelweb import Shared

from .._visits import Visit
from ._shared import Base


class FailureTests(Base):
    """A shared run fails."""

    def test_every_waiter_is_told_once(self) -> None:
        """Each request that waits for a failing run is answered 500, and logged once."""
        visits = [Visit(lambda request: self.shared("year")) for _ in range(10)]
        self.reports.running[0].errback(ValueError("broken"))
        self.assertEqual({visit.response.code for visit in visits}, {500})
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 10)
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_handled_failures(self) -> None:
        """Nothing is logged if each waiter handles the failure of its run."""
        waiting = [self.shared("year") for _ in range(3)]
        self.reports.running[0].errback(ValueError())
        for each in waiting:
            self.failureResultOf(each, ValueError)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_function_that_raises(self) -> None:
        """Each call of a shared function that raises fails with its error."""

        def broken() -> Deferred[None]:
            raise ValueError("broken")

        shared = Shared(broken)
        for _ in range(2):
            self.failureResultOf(shared(), ValueError)

    def test_tracebacks_do_not_mix(self) -> None:
        """No waiter's exception holds the frames of another waiter's code."""
        errors: list[BaseException] = []

        async def work() -> None:
            await self.reports()

        shared = Shared(work)

        async def waiter(number: int) -> None:
            try:
                await shared()
            except ValueError as error:
                errors.append(error)

        for number in range(3):
            Deferred.fromCoroutine(waiter(number))
        self.reports.running[0].errback(ValueError("broken"))
        self.assertEqual(len(set(errors)), 3)
        for error in errors:
            self.assertEqual(error.args, ("broken",))
            names = [frame.f_code.co_name for frame in frames_of(error)]
            self.assertEqual(names.count("waiter"), 1)
            # Twisted before 24.10 drops the frames of a failure on its way.
            self.assertLessEqual(names.count("work"), 1)

    def test_what_an_exception_came_from(self) -> None:
        """Each waiter's copy of an exception keeps `__cause__` and `__suppress_context__`."""
        waiting = [self.shared("year") for _ in range(2)]
        cause = KeyError()
        try:
            raise ValueError("broken") from cause
        except ValueError:
            self.reports.running[0].errback(Failure())
        for each in waiting:
            error = self.failureResultOf(each, ValueError).value
            self.assertIs(error.__cause__, cause)
            self.assertTrue(error.__suppress_context__)

    def test_an_exception_that_cannot_be_copied(self) -> None:
        """An exception that cannot be copied is told to all waiters as it is."""

        class OddError(Exception):
            def __init__(self, one: int, two: int) -> None:
                super().__init__()

        waiting = [self.shared("year") for _ in range(2)]
        self.reports.running[0].errback(OddError(1, 2))
        first, second = (self.failureResultOf(each, OddError).value for each in waiting)
        self.assertIs(first, second)


def frames_of(error: BaseException) -> list[Any]:
    """The frames of an exception's traceback."""
    found, traceback = [], error.__traceback__
    while traceback is not None:
        found.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return found

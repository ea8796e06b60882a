"""A slow report that tests share.

What belongs here: what tests of more than one module need. What does not: tests.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Shared


class Reports:
    """A slow function: notes its runs, which the test ends."""

    def __init__(self) -> None:
        self.running: list[Deferred[Any]] = []
        self.stopped: list[Deferred[Any]] = []

    def __call__(self, name: str = "year") -> Deferred[Any]:
        """Begin a report."""
        report: Deferred[Any] = Deferred(self.stopped.append)
        self.running.append(report)
        return report


class Base(SynchronousTestCase):
    """A test of the shared report."""

    def setUp(self) -> None:
        """A slow function, and its shared form."""
        self.reports = Reports()
        self.shared: Shared[[str], Any] = Shared(self.reports)

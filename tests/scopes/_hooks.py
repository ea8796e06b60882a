"""Hooks that note that they ran.

What belongs here: what the tests of hooks share. What does not: the tests.
"""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Scope


class HookTestCase(SynchronousTestCase):
    """A test of cleanup hooks that note their names when they run."""

    def setUp(self) -> None:
        """Note which hooks run."""
        self.ran: list[str] = []

    def hook(self, name: str, result: object = None) -> Any:
        """A hook that notes its name."""

        def noting(scope: Scope) -> object:
            self.ran.append(name)
            return result

        return noting

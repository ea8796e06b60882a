"""The attributes of a scope cannot be set: neither those that exist nor misspelt ones.

What belongs here: assignments to a `cancelweb.Scope`. What does not: what its attributes say.
"""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Disconnected

from .._pages import waiting
from .._visits import Visit

INSTEAD = {
    "cause": "call scope.cancel(cause)",
    "deadline": "call scope.limit(seconds)",
    "ended": "in the outcome",
    "failure": "raise an exception",
    "request": "call scope.note(name=fact)",
}


class ReadOnlyTests(SynchronousTestCase):
    """An assignment to an attribute of a scope fails, and changes nothing."""

    def setUp(self) -> None:
        self.visit = Visit(waiting, timeout=5)
        self.scope: Any = self.visit.scope

    def test_says_what_to_do_instead(self) -> None:
        """The error for an attribute shows what was passed, and says what to do instead."""
        for name, instead in INSTEAD.items():
            before = getattr(self.scope, name)
            with self.assertRaises(AttributeError) as caught:
                setattr(self.scope, name, "x")
            self.assertIn(f"scope.{name} cannot be set, to 'x'. ", str(caught.exception))
            self.assertIn(instead, str(caught.exception))
            self.assertEqual(getattr(self.scope, name), before, name)

    def test_misspelt(self) -> None:
        """A name that a scope does not have cannot be set."""
        with self.assertRaisesRegex(AttributeError, "dead_line"):
            self.scope.dead_line = 100

    def test_methods(self) -> None:
        """A method of a scope cannot be replaced."""
        for name in ("track", "cancel", "remaining", "check"):
            with self.assertRaisesRegex(AttributeError, name):
                setattr(self.scope, name, None)

    def test_after_the_end(self) -> None:
        """The attributes of a closed scope cannot be set either."""
        self.visit.disconnect()
        with self.assertRaises(AttributeError):
            self.scope.cause = None
        self.assertIsInstance(self.scope.cause, Disconnected)

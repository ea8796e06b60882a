"""The rare attributes of a scope, which most scopes share.

What belongs here: that scopes which share them cannot change them. What does not: what they mean.
"""

from contextvars import Context

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._scopes.rare import NOTHING_RARE

from .._pages import waiting
from .._visits import Visit


class RareTests(SynchronousTestCase):
    """What one scope sets does not reach another."""

    def test_shared(self) -> None:
        """Scopes without rare attributes share an object that refuses changes."""
        # A context variable of the caller would be a rare thing, too.
        visit = Context().run(Visit, waiting)
        self.assertIs(visit.scope.rare, NOTHING_RARE)
        with self.assertRaises(FrozenInstanceError):
            NOTHING_RARE.inner_handler = waiting

    def test_own(self) -> None:
        """A scope that sets a rare attribute has an object of its own, and only one."""
        one, other = Visit(waiting).scope, Visit(waiting).scope
        one.own_rare().inner_handler = waiting
        self.assertIs(one.own_rare(), one.rare)
        self.assertIs(one.rare.inner_handler, waiting)
        self.assertIsNone(other.rare.inner_handler)

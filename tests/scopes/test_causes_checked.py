"""Causes, and the errors that carry them, check what they are made with.

What belongs here: wrong arguments of their constructors, and copies. What does not: classes of
causes of a user's own (`test_causes_frozen`).
"""

import copy
import pickle
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import (
    ContentLost,
    Disconnected,
    Draining,
    ScopeCancelled,
    StartRefused,
    TimedOut,
)

NAN = float("nan")

WRONG: list[tuple[type, tuple[object, ...], type[Exception], str]] = [
    (Disconnected, (0,), TypeError, "failure must be a .*Failure or None, not 0"),
    (Disconnected, (ConnectionDone(),), TypeError, "failure must be a .*, not ConnectionDone()"),
    (TimedOut, ("x",), TypeError, "seconds must be a number of seconds, not 'x'"),
    (TimedOut, (True,), TypeError, "seconds must be a number of seconds, not True"),
    (TimedOut, (-1,), ValueError, "seconds must be 0 or more and finite, not -1"),
    (TimedOut, (NAN,), ValueError, "seconds must be 0 or more and finite, not nan"),
    (TimedOut, (1, 2), TypeError, "limit must be a str, not 2"),
    (Draining, ("5",), TypeError, "retry_after must be an int, not '5'"),
    (Draining, (-1,), ValueError, "retry_after must be 0 or more, not -1"),
    (ScopeCancelled, ("late",), TypeError, "cause must be a cancelweb.Cause, not 'late'"),
    (ScopeCancelled, (Draining,), TypeError, r"not the class Draining. Pass Draining\(\)"),
    (ContentLost, (Draining(),), TypeError, "cause must be a cancelweb.Disconnected, not Draining"),
    (StartRefused, (None, Draining()), TypeError, "message must be a str, not None"),
    (StartRefused, ("no", None), TypeError, "cause must be a cancelweb.Cause, not None"),
]


class ArgumentsTests(SynchronousTestCase):
    """What a cause, or an error that carries one, is made with."""

    def test_each_wrong_one(self) -> None:
        """A wrong argument is an error at once, which names it and shows what was passed."""
        for kind, arguments, error, text in WRONG:
            with self.assertRaisesRegex(error, text):
                kind(*arguments)

    def test_right_ones(self) -> None:
        """A failure or None, any number of seconds from 0, and whole seconds are right."""
        Disconnected(None), Disconnected(Failure(ConnectionDone()))
        TimedOut(0), TimedOut(0.5, "total_timeout")
        Draining(0), Draining(60)

    def test_copies(self) -> None:
        """An error that carries a cause can be copied and pickled, with its cause."""
        for error in (ScopeCancelled(TimedOut(5)), ContentLost(Disconnected())):
            error.add_note("a note")
            copies: list[Any] = [copy.copy(error), pickle.loads(pickle.dumps(error))]
            for each in copies:
                self.assertIs(type(each), type(error))
                self.assertEqual((each.cause, each.args), (error.cause, error.args))
                self.assertEqual(each.__notes__, ["a note"])

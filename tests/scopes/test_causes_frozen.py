"""Causes of the user's own: which classes can be made, as their instances are frozen.

What belongs here: the class. What does not: its headers (`http.test_cause_headers`), and
the answer.
"""

from dataclasses import dataclass
from functools import partialmethod
from types import SimpleNamespace
from typing import Any

from attrs import frozen
from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Cause

from .._pages import waiting
from .._visits import Visit


class RefusedWhereItIsWrittenTests(SynchronousTestCase):
    """A cause class that can have no instances is an error at once, not in the first request."""

    def test_an_init_that_sets_attributes(self) -> None:
        """An initialiser that sets attributes is a TypeError that says what to write instead."""

        def initialise(self: Any, why: str) -> None:
            self.why = why

        for name in ("__init__", "__attrs_post_init__"):
            for bases in ((Cause,), (type("Quota", (Cause,), {}),)):
                with self.assertRaises(TypeError) as raised:
                    type("Quota", bases, {name: initialise})
                self.assertEqual(
                    str(raised.exception),
                    f"Quota.{name} sets why, but causes are frozen: make the class one of attrs, "
                    "with @attrs.frozen, and why a field of it",
                )

    def test_in_whatever_way(self) -> None:
        """An initialiser that sets an attribute is found, in whatever way it sets it."""

        def two(self: Any, why: Any) -> None:
            kept = why
            self.why, why.kept = kept, why

        def seen(self: Any, why: str) -> None:
            str(lambda: self)
            self.why = why

        def target(self: Any, why: str) -> None:
            for self.why in why:
                pass

        for initialise in (two, seen, target):
            with self.assertRaisesRegex(TypeError, "__init__ sets why, but"):
                type("Quota", (Cause,), {"__init__": initialise})

    def test_fail_on_the_first_instance(self) -> None:
        """A dataclass that is not frozen, or a method that sets, fails on the first instance."""

        @dataclass
        class OfData(Cause):
            why: str

        class Calling(Cause):
            def __init__(self, why: str) -> None:
                self.note(why)

            def note(self, why: str) -> None:
                self.why = why

        for kind in (OfData, Calling):
            with self.assertRaises(FrozenInstanceError):
                kind("quota")

    def test_attributes_of_others(self) -> None:
        """An initialiser may set attributes of other objects and of its class."""

        @frozen
        class Forgetting(Cause):
            error: BaseException

            def __attrs_post_init__(self) -> None:
                self.error.__traceback__ = None

        class Counted(Cause):
            made = 0

            def __init__(self, request: Any) -> None:
                request.seen = True
                request.self = request
                request.self.left = True
                Counted.made += 1

        error = ValueError()
        self.assertIs(Forgetting(error).error, error)
        request: Any = SimpleNamespace()
        Counted(request)
        self.assertEqual((request.seen, request.left, Counted.made), (True, True, 1))

    def test_classes_that_work(self) -> None:
        """A cause class that sets its attributes as frozen instances allow can cancel a scope."""

        @frozen
        class OfAttrs(Cause):
            why: str

        @frozen(slots=False)
        class Shortened(Cause):
            why: str

            def __init__(self, why: str) -> None:
                self.__attrs_init__(why.strip())  # type: ignore[attr-defined]

        @dataclass(frozen=True)
        class OfData(Cause):
            why: str

        class Thawed(Cause):
            __setattr__ = object.__setattr__

            def __init__(self, why: str) -> None:
                self.why = why

        class Partly(Cause):
            __init__: Any = partialmethod(object.__setattr__, "why")

        for kind in (OfAttrs, Shortened, OfData, Thawed, Partly):
            visit, cause = Visit(waiting), kind("quota")
            visit.scope.cancel(cause)
            self.assertIs(visit.outcome.cause, cause)
            self.assertEqual(getattr(cause, "why"), "quota")  # noqa: B009

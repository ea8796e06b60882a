"""Every public function, constructor and method, called with values of a wrong type.

A call works or raises at once. The error names the parameter and shows the value; it comes from a
check of ours, and not from inside. What the right values do is for the tests of each subject.
"""

import gc
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from traceback import extract_tb
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

import cancelweb
from cancelweb._operating.exiting import ExitLimit
from cancelweb.testing import SweepFailed

from ._surface import call, calls, functions

PACKAGE = str(Path(cancelweb.__file__).parent)


class Endless(Deferred[Any]):
    """A Deferred that does not let itself be iterated forever."""

    _steps = 0

    def __iter__(self) -> Any:
        return self

    __await__ = __iter__

    def __next__(self) -> Any:
        self._steps += 1
        assert self._steps < 100, "iterated without an end"
        return self


def endless() -> Iterator[int]:
    """An iterator that does not let itself be iterated forever."""
    yield from range(100)
    raise AssertionError("iterated without an end")


VALUES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "0": lambda: 0,
    "-1": lambda: -1,
    "True": lambda: True,
    "0.5": lambda: 0.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "a huge int": lambda: 10**400,
    "str": lambda: "x y",
    "empty str": lambda: "",
    "bytes": lambda: b"x",
    "object": object,
    "list": list,
    "list of ints": lambda: [0],
    "dict": dict,
    "tuple": tuple,
    "Deferred": Endless,
    "generator": endless,
    "class": lambda: Clock,
    "exception": lambda: ValueError("wrong"),
    "Resource": Resource,
    "Clock": Clock,
    "builtin": lambda: dir,
}
"""Values, each of which is wrong for most parameters."""

SKIPPED = {("leave", "class")}
"""A sweep reports that this function fails; the parameter, and the value."""

ONLY_ONCE = {
    *("run", "stream", "defer_to_thread", "defer_to_thread_pool"),  # begin real work
    *("CancellingAgent", "stream_body", "ReverseProxyResource"),  # need a network
    "MonitorCollector",  # a registry refuses the same metrics
    # These raise on purpose.
    *("assert_stopped", "current_scope", "sweep", "HTTP2Connection.reset", "Scope.check"),
}
"""What has tests of its own for a second call."""

ALSO = {
    "check": ("positional argument",),
    "handler": ("cancel_on_disconnect decorates",),
    "hook": ("on_cancel must", "on_exit must", "withdraw must"),
    "make_resource": ("positional argument", "Client takes"),
    "observer": ("observers must",),
    "request": ("scope_of takes a request", "positional argument"),
    "resource": ("CancellingResource wraps a resource",),
    "root": ("Client takes a resource",),
    "source": ("cannot stop",),
    "work": ("cannot stop", "iterator", "element"),
}
"""What a message may say in place of the name of the parameter. A sweep calls what it is given."""


def is_ours(error: BaseException) -> bool:
    """Whether code of the package has raised an error itself."""
    return extract_tb(error.__traceback__)[-1].filename.startswith(PACKAGE)


def complaint(error: BaseException, parameter: str) -> str | None:
    """What is wrong with an error; None for an error that helps."""
    if isinstance(error, SweepFailed):
        return None  # It has called what it was given.
    if not isinstance(error, TypeError | ValueError | LookupError):
        return f"{error!r}"
    names = "|".join([rf"\b{parameter}\b", *ALSO.get(parameter, ())])
    if not (is_ours(error) and re.search(names, str(error))):
        return f"{error!r}, from {extract_tb(error.__traceback__)[-1]}"
    return None


class WrongArgumentsTests(SynchronousTestCase):
    """A value of a wrong type for each parameter."""

    def setUp(self) -> None:
        """Keep what is printed, and the errors that no caller can catch, such as in `__del__`."""
        self.patch(ExitLimit, "within", lambda *_: None)  # Have no drain end this process.
        self.ignored: list[str] = []
        self.patch(sys, "unraisablehook", lambda each: self.ignored.append(repr(each.exc_value)))
        printed = redirect_stdout(StringIO())
        self.printed = printed.__enter__()
        self.addCleanup(printed.__exit__, None, None, None)

    def tearDown(self) -> None:
        """Whatever the calls did, nothing was printed, and no error was ignored."""
        gc.collect()
        self.assertEqual((self.ignored, self.printed.getvalue()), ([], ""))

    def outcome(self, name: str, make: Callable[[], Any], parameter: str, value: object) -> str:
        """What is wrong with how a call ends; an empty string if nothing is."""
        found = None
        try:
            result = call(make(), name, parameter, value)
        except Exception as error:
            found = complaint(error, parameter)
        else:
            if isinstance(result, Deferred):
                result.addErrback(lambda _: None)
        logged = [each.getErrorMessage() for each in self.flushLoggedErrors()]
        return " ".join([*([found] if found else []), *logged])

    def test_twice(self) -> None:
        """A right call works twice, on an object that is as good as new and after its end."""
        for name, make in functions():
            if name in ONLY_ONCE:
                continue
            function = make()
            for _ in range(2):
                result = call(function, name)
                if isinstance(result, Deferred):
                    result.addErrback(lambda _: None)
            self.assertEqual(self.flushLoggedErrors(), [], name)

    def test_each(self) -> None:
        """Each call works, or raises at once an error that names the parameter."""
        wrong = []
        for name, make, parameter in calls():
            for label, value in VALUES.items():
                is_skipped = (parameter, label) in SKIPPED
                if not is_skipped and (found := self.outcome(name, make, parameter, value())):
                    wrong.append(f"{name}({parameter}={label}): {found}")
        self.assertEqual(wrong, [], "\n".join(wrong[:200]))

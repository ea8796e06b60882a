"""What users pass to `cancelweb.processes`.

What belongs here: values that are refused at once, before a process is started. What does not: what
the right values do, which is in `real.system.test_process_groups`.
"""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import processes

WRONG: dict[str, list[Any]] = {
    "args": [
        None,
        "true",
        b"true",
        [],
        [0],
        ["sleep", 1],
        ["true", None],
        {"true"},
        bytearray(b"x"),
    ],
    "stdin": [None, "text", bytearray(b"x")],
    "cwd": [0, 1.5, True, ["/"], Deferred(), object],
    "env": [0, b"PATH=/bin", "PATH=/bin", ["PATH"], {"PATH": 1}, {1: "/bin"}, {"PATH": None}],
    "check": [None, 0, 1, "yes", Deferred()],
    "reactor": [0, "reactor", Deferred(), Clock, Clock(), MemoryReactorClock(), object(), print],
}
"""Values that each parameter refuses."""


class ArgumentsTests(SynchronousTestCase):
    """The arguments of `run` and `stream`."""

    def test_refused(self) -> None:
        """A wrong value is a TypeError at once that names the parameter, and shows the value."""
        for function in (processes.run, processes.stream):
            call: Any = function
            for name, values in WRONG.items():
                for value in values:
                    given = {"args": ["true"], name: value}
                    error = self.assertRaises(TypeError, call, **given)
                    self.assertRegex(str(error), rf"^{name}\b.* must ", (name, value))

    def test_entry_shown(self) -> None:
        """The error of an entry shows the entry."""
        run: Any = processes.run
        error = self.assertRaises(TypeError, run, ["sleep", 1.25])
        self.assertIn("1.25", str(error))
        error = self.assertRaises(TypeError, run, ["true"], env={"JOBS": 4321})
        self.assertIn("4321", str(error))

    def test_accepted(self) -> None:
        """Paths and bytes will do wherever a program takes text."""
        for path in (Path("."), ".", b"."):
            processes.stream(["ls", path], cwd=path, env={"HOME": "/", "LANG": "C"})

"""The table of log events in the reference, compared with all that the package logs.

What belongs here: that no event is missing or made up. What does not: when each is logged.
"""

import ast
import re
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from .._docs import DOCS
from .._servers import REPOSITORY

SOURCE = REPOSITORY / "src" / "cancelweb"

Event = tuple[str, frozenset[str]]
"""The level of an event, and the keys that it has for programs."""

OF_TESTS = ("testing", "demo")
"""What logs in the place of a reactor or a program of the user's."""

NO_KEYS = {"failure", "line", "text"}
"""The traceback, which Twisted keeps under a key of its own, and what is the message alone."""


def logged() -> Iterator[Event]:
    """The events that are logged in the package, except its test kit and demonstration."""
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] not in OF_TESTS:
            for node in ast.walk(ast.parse(path.read_text())):
                yield from events_of(node)


def events_of(node: ast.AST) -> Iterator[Event]:
    """The events in a node: a call of the logger or of a method given to one, or a dict."""
    if isinstance(node, ast.Call):
        for each in (node.func, *node.args):
            if isinstance(each, ast.Attribute) and ast.unparse(each.value) == "log":
                level = "critical" if each.attr == "failure" else each.attr
                if level != "observer":
                    yield level, keys(word.arg for word in node.keywords)
    elif isinstance(node, ast.Dict):
        names = [each.value for each in node.keys if isinstance(each, ast.Constant)]
        if "log_format" in names:
            yield "info", keys(str(name) for name in names if not str(name).startswith("log_"))


def keys(names: Iterator[str | None]) -> frozenset[str]:
    """The keys among these names that are for programs."""
    return frozenset(
        name for name in names if name and name not in NO_KEYS and not name.endswith("_text")
    )


def documented() -> list[Event]:
    """The events in the table."""
    rows = re.findall(
        r"^   \* - (\w+)\n     - (?:.*\n     )+?- (.*(?:\n       .*)*)$",
        (DOCS / "reference" / "log.rst").read_text(),
        re.M,
    )
    _, *rest = rows  # behind the head of the table
    return [(level, frozenset(re.findall(r"``(\w+)``", cell))) for level, cell in rest]


class LogTableTests(SynchronousTestCase):
    """The table of log events in the reference."""

    def test_has_each_event(self) -> None:
        """The table of log events has each event of the package with its keys, and no others."""
        table = set(documented())
        self.assertEqual(table ^ set(logged()), set())
        self.assertGreater(len(table), 25)

"""The docstrings of the tests: each says by itself what happens.

Read from the source, since not all modules can be imported everywhere.
"""

import ast
import re
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from ._cases import TESTS

LEANING = re.compile(
    r"(Also|And|But|Either|It|Likewise|Neither|Nor|Or|So|Then|They|Too|One (of|that|which|whose))\b"
)
"""How a sentence begins that cannot be understood without the one before it."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def docstrings() -> Iterator[tuple[str, ast.AST, str | None]]:
    """Where each test, test case and helper is, its node, and its docstring."""
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function | ast.ClassDef):
                place = f"{path.relative_to(TESTS)}:{node.lineno} {node.name}"
                yield place, node, ast.get_docstring(node)


class DocstringsTests(SynchronousTestCase):
    """A report of failures shows a test's name and docstring, and nothing around them."""

    def test_each_test_has_one(self) -> None:
        """Each test says in one line what happens."""
        tests = [
            (place, text)
            for place, node, text in docstrings()
            if isinstance(node, Function) and node.name.startswith("test_")
        ]
        self.assertGreater(len(tests), 2000)
        wrong = [place for place, text in tests if len((text or "").splitlines()) != 1]
        self.assertEqual(wrong, [])

    def test_none_leans_on_another(self) -> None:
        """No docstring begins with a word that needs the docstring before it."""
        leaning = [place for place, _, text in docstrings() if LEANING.match(text or "")]
        self.assertEqual(leaning, [])

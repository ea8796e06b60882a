"""Which classes and methods the modules of tests have, read without importing them.

What belongs here: what is needed to see whether a test exists that some list names. What does not:
the lists.
"""

import ast
from pathlib import Path

from attrs import frozen


@frozen
class Case:
    """The names in a class of the tests.

    No more is kept of its syntax tree: many tests have the garbage collector go through all there
    is.

    Attributes:
        methods: its own.
        bases: of those that are named without their module.
    """

    methods: frozenset[str]
    bases: frozenset[str]

    @classmethod
    def read(cls, node: ast.ClassDef) -> "Case":
        """The names in a class definition."""
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        return cls(
            frozenset(each.name for each in node.body if isinstance(each, functions)),
            frozenset(base.id for base in node.bases if isinstance(base, ast.Name)),
        )


def read(path: Path) -> dict[str, Case]:
    """The classes of a module, by name."""
    body = ast.parse(path.read_text(), filename=str(path)).body
    return {node.name: Case.read(node) for node in body if isinstance(node, ast.ClassDef)}


TESTS = Path(__file__).parents[1]


def dotted(path: Path) -> str:
    """The name of a module of the tests, below `tests`."""
    return ".".join(path.relative_to(TESTS).with_suffix("").parts)


CASES = {dotted(path): read(path) for path in TESTS.rglob("*.py")}
"""All classes of the tests, by module and name."""


def methods(case: Case) -> frozenset[str]:
    """The names of a case's methods, and of those that it inherits from classes of the tests."""
    found = (classes[base] for classes in CASES.values() for base in case.bases & classes.keys())
    return case.methods.union(*map(methods, found))

"""Which classes and functions the modules of tests have, read without importing them.

What belongs here: what is needed to see whether a test exists that some list names, and what it
says about itself. What does not: the lists.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

TESTS = Path(__file__).parents[1]

Function = ast.FunctionDef | ast.AsyncFunctionDef


@frozen
class Case:
    """What a class of the tests has.

    No more is kept of its syntax tree: many tests have the garbage collector go through all there
    is.

    Attributes:
        methods: the names of its own.
        bases: of the classes that are named without their module.
        docstring: its own.
    """

    methods: frozenset[str]
    bases: frozenset[str]
    docstring: str

    @classmethod
    def read(cls, node: ast.ClassDef) -> "Case":
        """What a class definition has."""
        return cls(
            frozenset(each.name for each in node.body if isinstance(each, Function)),
            frozenset(base.id for base in node.bases if isinstance(base, ast.Name)),
            ast.get_docstring(node) or "",
        )


def dotted(path: Path) -> str:
    """The name of a module of the tests, below `tests`."""
    return ".".join(path.relative_to(TESTS).with_suffix("").parts)


def documented(path: Path, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The place of each class and function in a module, with its name, and its docstring."""
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef):
            yield f"{dotted(path)}:{node.lineno} {node.name}", ast.get_docstring(node) or ""


CASES: dict[str, dict[str, Case]] = {}
"""All classes of the tests, by module and name."""

DOCSTRINGS: list[tuple[str, str]] = []
"""The place of each class and function of the tests, and its docstring."""

for _path in sorted(TESTS.rglob("*.py")):
    _tree = ast.parse(_path.read_text(), filename=str(_path))
    _classes = (node for node in _tree.body if isinstance(node, ast.ClassDef))
    CASES[dotted(_path)] = {node.name: Case.read(node) for node in _classes}
    DOCSTRINGS += documented(_path, _tree)
del _path, _tree


def methods(case: Case) -> frozenset[str]:
    """The names of a case's methods, with those inherited from classes of the tests."""
    found = (classes[base] for classes in CASES.values() for base in case.bases & classes.keys())
    return case.methods.union(*map(methods, found))

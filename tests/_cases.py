"""Which classes and methods the modules of tests have, read without importing them.

What belongs here: what is needed to see whether a test exists that some list names. What does not:
the lists.
"""

import ast
from pathlib import Path

CASES = {
    path.stem: {
        node.name: node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    }
    for path in Path(__file__).parent.glob("*.py")
}
"""All classes of the tests, by module and name."""


def methods(case: ast.ClassDef) -> set[str]:
    """The names of its methods, and of those of the classes of the tests that it is based on."""
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in case.body if isinstance(node, defined)}
    bases = {base.id for base in case.bases if isinstance(base, ast.Name)}
    found = (classes[base] for classes in CASES.values() for base in bases & classes.keys())
    return names.union(*map(methods, found))

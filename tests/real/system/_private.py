"""Which names in the source of cancelweb are private to others, read from the syntax tree.

What belongs here: finding the names. What does not: the test, and what is done about them.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import cancelweb

PACKAGE = Path(cancelweb.__file__).parent
PRIVATE = re.compile(r"_(?!cancelweb_|exit$|thread$)[a-zA-Z]\w*")
"""With our own prefix are the names that cancelweb gives to objects of others. Python's manual has
``os._exit`` and the module ``_thread``."""
READERS = {"delattr", "getattr", "hasattr", "setattr"}


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore, and is not plainly our own."""
    return PRIVATE.fullmatch(name) is not None


def trees() -> dict[str, ast.Module]:
    """The modules of the package, by their paths in it, except those that read private names."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {
        str(path.relative_to(PACKAGE)): ast.parse(path.read_bytes())
        for path in paths
        if path.parent.name != "_twisted"
    }


def defined_in(kind: ast.ClassDef) -> set[str]:
    """The private names that a class gives its instances: in its body, and in its methods."""
    names = set()
    for node in ast.walk(kind):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
    return {name for name in names if is_private(name)}


def classes(modules: Iterable[ast.Module]) -> dict[str, ast.ClassDef]:
    """The classes of the package by their names."""
    nodes = [node for module in modules for node in ast.walk(module)]
    return {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}


def inherited(kind: ast.ClassDef, known: dict[str, ast.ClassDef]) -> set[str]:
    """The private names of a class and of its bases in the package."""
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in kind.bases]
    own = [known[base.id] for base in bases if isinstance(base, ast.Name) and base.id in known]
    return defined_in(kind).union(*(inherited(each, known) for each in own if each is not kind))


def foreign_names() -> Iterator[str]:
    """Each use of a private name that no class of the package in its module defines.

    Scopes are an exception: users may only read their properties, which the package sets.
    """
    modules = trees()
    known = classes(modules.values())
    of_scopes = defined_in(known["Subject"])
    for path, module in modules.items():
        here = [node for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
        own = of_scopes.union(*(inherited(each, known) for each in here))
        for kind in here:
            for line, name in used_on_self(kind):
                if name not in inherited(kind, known):
                    yield f"{path}:{line} self.{name}"
        for line, name in [*used(module), *imported(module)]:
            if name not in own:
                yield f"{path}:{line} {name}"


def used_on_self(kind: ast.ClassDef) -> Iterator[tuple[int, str]]:
    """Private attributes of ``self`` in the methods of a class."""
    for node in ast.walk(kind):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if is_private(name):
                yield node.lineno, name


def used(module: ast.Module) -> Iterator[tuple[int, str]]:
    """The private attributes in a module, by name or as text for ``getattr`` and its like."""
    for node in ast.walk(module):
        match node:
            case ast.Attribute(attr=name) if is_private(name):
                yield node.lineno, name
            case ast.Call(func=ast.Name(id=reader), args=[_, ast.Constant(value=str(name)), *_]):
                if reader in READERS and is_private(name):
                    yield node.lineno, name


def imported(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Private modules and names that come from outside the package."""
    for node in ast.walk(module):
        match node:
            case ast.ImportFrom(level=0, module=str(source)):
                names = [source, *(alias.name for alias in node.names)]
            case ast.Import():
                names = [alias.name for alias in node.names]
            case _:
                continue
        for name in ".".join(names).split("."):
            if is_private(name):
                yield node.lineno, name

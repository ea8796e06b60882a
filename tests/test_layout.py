"""The layout of the package: imports point one way, and there are few of them.

Read from the source, without importing it.
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import cancelweb

PACKAGE = Path(cancelweb.__file__).parent

CHAIN = ["interfaces", "causes", "_cancellers", "_scope", "_respond", "_web"]
"""What the design lays down: each may import those before it, and none after it."""

FREE = {"__init__", "__main__"}
"""These may import whatever there is, and nothing imports them."""

DEPENDENCIES = {"twisted", "attrs", "zope"}

EXTRAS = {"prometheus": {"prometheus_client"}, "testing": {"h2"}}
"""What a module may import besides, where it is installed."""

Import = tuple[ast.stmt, str]


def imports_of(path: Path) -> Iterator[Import]:
    """The statements that import, and what, as absolute names."""
    package = ["cancelweb", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            names = [*base, node.module] if node.module else base
            yield from ((node, ".".join([*names, alias.name])) for alias in node.names)


def node_of(path: Path) -> str:
    """A module, or the package below ours that it is in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


IMPORTS: dict[str, list[Import]] = {}
for _path in sorted(PACKAGE.rglob("*.py")):
    IMPORTS.setdefault(node_of(_path), []).extend(imports_of(_path))


def own_imports(name: str) -> set[str]:
    """The modules of the package that a module imports, wherever in it."""
    ours = [what.split(".")[1] for _, what in IMPORTS[name] if what.startswith("cancelweb.")]
    return {each for each in ours if each in IMPORTS and each != name}


def reaches(name: str) -> set[str]:
    """All that a module imports, and what that imports."""
    found: set[str] = set()
    left = [name]
    while left:
        new = own_imports(left.pop()) - found
        found |= new
        left += new
    return found


class OneWayTests(SynchronousTestCase):
    """Imports inside the package."""

    def test_point_one_way(self) -> None:
        """There is an order in which each module imports only those before it."""
        graph = {name: own_imports(name) for name in IMPORTS}
        order = list(TopologicalSorter(graph).static_order())
        self.assertEqual(sorted(order), sorted(IMPORTS))

    def test_keep_the_order_of_the_design(self) -> None:
        """The modules that the design names are in its order, by whatever way they import."""
        for position, name in enumerate(CHAIN):
            self.assertEqual(reaches(name) & set(CHAIN[position:]), set(), name)

    def test_everything_else_comes_after_the_doors_or_below_them(self) -> None:
        """The doors reach private modules and the chain only; nothing reaches the entry points."""
        public = {name for name in IMPORTS if not name.startswith("_")}
        self.assertEqual(reaches("_web") & public, {"interfaces", "causes"})
        for name in set(IMPORTS) - FREE:
            self.assertEqual(reaches(name) & FREE, set(), name)

    def test_the_core_below_the_scope_knows_no_http(self) -> None:
        """Neither the scope nor what it reaches imports how requests are answered."""
        self.assertEqual(reaches("_scope") & {"_respond", "_requests", "_stream", "_web"}, set())

    def test_interfaces_import_nothing_of_the_package(self) -> None:
        """The interfaces stand alone."""
        self.assertEqual(own_imports("interfaces"), set())


class DependenciesTests(SynchronousTestCase):
    """Imports from outside the package."""

    def test_are_few(self) -> None:
        """Twisted, attrs, zope.interface and the standard library; else only extras."""
        allowed = DEPENDENCIES | sys.stdlib_module_names | {"cancelweb"}
        for name, imports in IMPORTS.items():
            outside = {what.split(".")[0] for _, what in imports}
            self.assertEqual(outside - allowed - EXTRAS.get(name, set()), set(), name)

    def test_install_no_reactor(self) -> None:
        """No module that users import imports the global reactor when it is itself imported."""
        for name in set(IMPORTS) - {"__main__", "demo"}:
            at_the_top = [what for node, what in IMPORTS[name] if node.col_offset == 0]
            self.assertNotIn("twisted.internet.reactor", at_the_top, name)

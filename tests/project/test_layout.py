"""The layout of the package: imports point one way and are few, modules and functions are small.

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

FLOORS = [
    {"_checks", "_frozen", "_headers"},
    {"causes"},
    {"_still_running", "_unavailable"},
    {"interfaces"},
    {"_typed"},
    {"_log"},
    {"_twisted"},
    {"_kinds"},
    {"_scopes"},
    {"_http", "_proxying", "_stoppable"},
    {"_engines", "_operating"},
    {
        "celery",
        "connections",
        "dask",
        "database",
        "monitor",
        "observers",
        "processes",
        "threads",
        "upstream",
    },
    {"health", "prometheus", "proxy", "testing"},
    {"status"},
    {"tap", "demo"},
]
"""The house, from the ground up: each floor may import those below it, and none above it."""

FREE = {"__init__", "__main__"}
"""These may import whatever there is, and nothing imports them."""

ENTRY_POINTS = {
    "_checks",
    "_frozen",
    "_headers",
    "interfaces",
    "causes",
    "_still_running",
    "_typed",
    "_unavailable",
    "_log",
    "_twisted",
    "_kinds",
    "_scopes",
    "_http",
}
"""All that a decorated handler needs."""

DEPENDENCIES = {"twisted", "attrs", "zope"}

EXTRAS = {
    "_engines": {"celery", "distributed", "kombu", "redis"},
    "_operating": {"h2"},
    "celery": {"celery"},
    "dask": {"distributed"},
    "prometheus": {"prometheus_client"},
    "tap": {"prometheus_client"},
    "testing": {"h2", "hyperframe"},
}
"""What a module may import besides, where it is installed."""

LONGEST = 250
"""Lines of a module."""

MOST_COMPLEX = 10
"""Independent paths through a function."""

Import = tuple[ast.stmt, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """A module, as a name below the package; a package is the module of its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[Import]:
    """The import statements of a module, and what they import, as absolute names."""
    package = ["cancelweb", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            names = [*base, node.module] if node.module else base
            yield from ((node, ".".join([*names, alias.name])) for alias in node.names)


IMPORTS: dict[str, list[Import]] = {
    name_of(path): list(imports_of(path)) for path in sorted(PACKAGE.rglob("*.py"))
}


def room_of(name: str) -> str:
    """The package below ours that a module is in, or the module itself."""
    return name.partition(".")[0]


def own_imports(name: str) -> set[str]:
    """The modules of the package that a module imports, wherever in it."""
    ours = [what.partition(".")[2] for _, what in IMPORTS[name] if what.startswith("cancelweb.")]
    modules = {each if each in IMPORTS else each.rpartition(".")[0] for each in ours}
    return modules - {name, ""}


class OneWayTests(SynchronousTestCase):
    """Imports inside the package, which point one way."""

    def test_point_one_way(self) -> None:
        """The modules have an order in which each imports only those before it."""
        # The kit's client and what it hands out name each other, for type checkers.
        names = [name for name in IMPORTS if room_of(name) != "testing"]
        graph = {name: own_imports(name) & {*names} for name in names}
        order = list(TopologicalSorter(graph).static_order())
        self.assertEqual(sorted(order), sorted(names))

    def test_point_downwards(self) -> None:
        """A module imports from its own package and from the floors below, never from beside."""
        below: set[str] = set()
        for floor in FLOORS:
            for name in IMPORTS:
                room = room_of(name)
                if room in floor:
                    imported = {room_of(each) for each in own_imports(name)}
                    self.assertEqual(imported - below - {room}, set(), name)
            below |= floor

    def test_every_module_has_its_floor(self) -> None:
        """Each module and package below ours is on one floor, or imported by nothing."""
        rooms = {room_of(name) for name in IMPORTS}
        self.assertEqual(sorted(rooms), sorted([*FREE, *(each for one in FLOORS for each in one)]))
        for name in IMPORTS:
            self.assertEqual(own_imports(name) & FREE, set(), name)

    def test_entry_points_need_little(self) -> None:
        """The decorator and the wrapper import no more than the entry points' floors."""
        found: set[str] = set()
        left = {"_http.decorator", "_http.wrapper"}
        while left:
            name = left.pop()
            left |= own_imports(name) - found
            found.add(name)
        self.assertLessEqual({room_of(name) for name in found}, ENTRY_POINTS)


class DependenciesTests(SynchronousTestCase):
    """Imports from outside the package."""

    def test_are_few(self) -> None:
        """The package imports no other packages than Twisted, attrs and zope, but in extras."""
        allowed = DEPENDENCIES | sys.stdlib_module_names | {"cancelweb"}
        for name, imports in IMPORTS.items():
            outside = {what.split(".")[0] for _, what in imports}
            self.assertEqual(outside - allowed - EXTRAS.get(room_of(name), set()), set(), name)

    def test_install_no_reactor(self) -> None:
        """No module that users import imports the global reactor when it is itself imported."""
        for name in IMPORTS:
            if room_of(name) in ("__main__", "demo"):
                continue
            at_the_top = [what for node, what in IMPORTS[name] if node.col_offset == 0]
            self.assertNotIn("twisted.internet.reactor", at_the_top, name)


def paths_through(node: ast.AST) -> int:
    """How many paths a node adds to those through its function.

    Unlike ruff, this counts the paths inside expressions, too.
    """
    match node:
        case ast.If() | ast.IfExp() | ast.Assert() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return 1
        case ast.For(orelse=orelse) | ast.AsyncFor(orelse=orelse) | ast.While(orelse=orelse):
            return 1 + bool(orelse)
        case ast.Try(handlers=handlers, orelse=orelse):
            return len(handlers) + bool(orelse)
        case ast.BoolOp(values=values):
            return len(values) - 1
        case ast.comprehension(ifs=ifs):
            return 1 + len(ifs)
        case ast.Match(cases=cases):
            return len(cases)
    return 0


def complex_functions(source: str) -> list[str]:
    """The functions with too many paths; a function inside one counts in it."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, Function)]
    return [
        function.name
        for function in functions
        if sum(map(paths_through, ast.walk(function))) > MOST_COMPLEX
    ]


class SizeTests(SynchronousTestCase):
    """Modules and functions that are small enough to hold in the head."""

    def test_modules_are_short(self) -> None:
        """No module is longer than 250 lines."""
        for path in PACKAGE.rglob("*.py"):
            name = path.relative_to(PACKAGE).as_posix()
            self.assertLessEqual(path.read_bytes().count(b"\n"), LONGEST, name)

    def test_functions_are_simple(self) -> None:
        """No function has more than ten paths, in statements and in expressions."""
        for path in PACKAGE.rglob("*.py"):
            name = path.relative_to(PACKAGE).as_posix()
            self.assertEqual(complex_functions(path.read_text()), [], name)

    def test_complexity(self) -> None:
        """Each kind of decision counts: a function with ten paths is simple, with eleven not."""
        body = """
    for a in b:
        try: c if d and e and g else f
        except H: assert h
        else: [i for i in j if k]
    """
        source = f"def simple(): {body}\ndef complicated(): {body}\n    l or m"
        self.assertEqual(complex_functions(source), ["complicated"])

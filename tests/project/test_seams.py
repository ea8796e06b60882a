"""Types at the seams: where one of our classes meets another, both sides name the class.

Read from the source, without importing it. `Any` is for what comes from outside.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import cancelweb

PACKAGE = Path(cancelweb.__file__).parent

CORE = ("_kinds", "_scopes", "_http", "_operating", "tap", "monitor.py", "interfaces.py")
"""The packages and modules whose annotations are checked."""

FOREIGN = {
    # Twisted's, or of a framework that stands for Twisted's.
    *(
        "call",
        "channel",
        "connection",
        "connection_of",
        "h2_connection_of",
        "global_reactor",
        "process",
        "producer",
    ),
    *("protocol", "reactor", "request", "resource", "stream", "transport"),
    # A site's: what a handler is called with, returns or raises, and what a coroutine awaits.
    *("args", "awaited", "coroutine", "error", "future", "handler", "instance", "kwargs", "owner"),
    *("result", "result_of", "settings", "settled", "suspended"),
    # Python's protocols of attributes, which name no type.
    *("__get__", "__getattr__", "__providedBy__"),
}
"""What stands for a thing that is not ours: names of parameters, attributes and variables, and
of functions that return it. A leading underscore does not count."""

FOREIGN_IN = {
    "_http/dead_requests.py": {"release_producer"},
    "_http/decorator.py": {"cancel_on_disconnect"},
    # What is stopped, and what Twisted or Python keeps of it.
    "_kinds/cancellations.py": {"awaiting"},
    "_kinds/leaves.py": {"DEFERRED_LIST"},
    "_kinds/own_kinds.py": {"own"},
    "_kinds/timers.py": {"canceller", "func", "function", "work"},
    "_kinds/twisted_kinds.py": {"ended", "former", "work"},
    "_kinds/where.py": {"awaiting", "behind", "driver", "function", "parts", "plain"},
    # A user's, of whatever kind.
    "_scopes/scope.py": {"track", "work"},
}
"""The same, in one module, where elsewhere the name stands for something of ours."""

CONTAINERS = {"ContextVar", "Iterable", "Iterator", "Sequence", "dict", "list", "set", "tuple"}
"""What is as untyped as what it holds."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_any(annotation: ast.expr | None) -> bool:
    """Whether a type checker knows nothing about what is annotated, or about what it holds."""
    match annotation:
        case ast.Constant(str() as text):
            return is_any(ast.parse(text, mode="eval").body)
        case ast.Name(name) | ast.Attribute(attr=name):
            return name == "Any"
        case ast.BinOp(left, ast.BitOr(), right):
            return is_any(left) or is_any(right)
        case ast.Tuple(parts):
            return any(map(is_any, parts))
        case ast.Subscript(ast.Name(name), inner):
            return name in CONTAINERS and is_any(inner)
    return False


def of_function(function: Function) -> Iterator[tuple[str, ast.expr | None]]:
    """The names and annotations in the head of a function."""
    args = function.args
    for each in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
        if each is not None:
            yield each.arg, each.annotation
    yield function.name, function.returns


def annotated(source: str) -> Iterator[tuple[int, str, ast.expr | None]]:
    """The lines, names and types of parameters, returns, attributes and variables."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, Function):
            for name, annotation in of_function(node):
                yield getattr(annotation, "lineno", 0), name, annotation
        elif isinstance(node, ast.AnnAssign):
            yield node.lineno, ast.unparse(node.target).removeprefix("self."), node.annotation


def seams_in(source: str, foreign: set[str] = FOREIGN) -> list[tuple[int, str]]:
    """The lines and names of type `Any` whose name stands for nothing foreign."""
    return sorted(
        (line, name)
        for line, name, annotation in annotated(source)
        if is_any(annotation) and {name, name.lstrip("_")}.isdisjoint(foreign)
    )


def modules_of(parts: tuple[str, ...]) -> list[Path]:
    """The modules in these packages, and those that are named themselves."""
    paths = [PACKAGE / part for part in parts]
    return sorted(each for path in paths for each in ([path] if path.suffix else path.glob("*.py")))


class SeamTests(SynchronousTestCase):
    """Annotations in the core of the package."""

    def test_no_any_between_our_own(self) -> None:
        """In the core, only names for foreign things have the type `Any`."""
        for path in modules_of(CORE):
            name = path.relative_to(PACKAGE)
            foreign = FOREIGN | FOREIGN_IN.get(name.as_posix(), set())
            self.assertEqual(seams_in(path.read_text(), foreign), [], name)

    def test_finds_each_kind_of_seam(self) -> None:
        """`Any` is found in parameters, returns, attributes and variables, and in containers."""
        source = """
class Work:
    keeper: Any = None
    request: Any = None
    _clock: Any | None = None
    def __init__(self, scope: Any, *args: Any) -> None:
        self._scopes: dict[int, "Any"] = {}
        response: Any = scope.response
    def owner(self, result: typing.Any) -> list[tuple[str, Any]]: ...
    async def work(self, done: Deferred[Any]) -> Any: ...
"""
        names = ["keeper", "_clock", "scope", "_scopes", "response", "work"]
        self.assertEqual([name for _, name in seams_in(source)], names)

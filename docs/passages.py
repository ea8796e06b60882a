"""The prose of the files of the product: where it is in each, and the number of each line.

What belongs here: reading pages, docstrings, comments and messages. What does not: the markup in
them (`markup`), and what good prose is (`prose`).
"""

import ast
import re
import tokenize
from collections.abc import Callable, Iterator
from functools import partial
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from textwrap import dedent

from markup import Line, markdown, numbered, paragraphs, restructured_text

UNREAD_COMMENT = re.compile(r"#!|# (fmt:|noqa|pragma|type:)")
COMMENT = re.compile(r"(?:^|\s)(?:#|//|/\*|\* )\s?(?P<text>.*?)(?:\*/)?$")
MESSAGE = re.compile(r"[a-z,]+( [\w{}%'-]+){3}")


def docstrings(tree: ast.AST) -> list[ast.Constant]:
    """Return the strings that are statements."""
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    return [
        value
        for value in values
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]


def python(source: str, messages: bool = True) -> Iterator[Line]:
    """Yield the prose of docstrings and comments, and of strings that read like messages."""
    tree = ast.parse(source)
    found = docstrings(tree)
    for node in found:
        first, _, rest = str(node.value).partition("\n")
        yield from restructured_text(f"{first}\n{dedent(rest)}", node.lineno)
    yield from paragraphs(comments(source))
    if messages:
        yield from strings(tree, set(found))


def comments(source: str) -> Iterator[Line]:
    """Yield the comments of Python. Those in consecutive lines are one paragraph."""
    last = (0, 0)
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT and not UNREAD_COMMENT.match(token.string):
            line, column = token.start
            if (line - 1, column) != last:
                yield line, ""
            yield line, token.string.lstrip("#: ")
            last = (line, column)


def strings(tree: ast.AST, left_out: set[ast.Constant]) -> Iterator[Line]:
    """Yield the strings of four words or more, as paragraphs."""
    if tree in left_out:
        return
    if isinstance(tree, ast.Constant | ast.JoinedStr):
        if MESSAGE.search(text := value_of(tree)):
            yield from paragraphs((tree.lineno, line) for line in text.split("\n"))
        return
    for child in ast.iter_child_nodes(tree):
        yield from strings(child, left_out)


def value_of(node: ast.AST) -> str:
    """Return the text of a literal. In an f-string, each expression is an X."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(value_of, node.values))
    return str(node.value) if isinstance(node, ast.Constant) else "X"


class Page(HTMLParser):
    """Gathers the prose that a page of HTML or XML shows, in `lines`."""

    CODE = frozenset({"pre", "script", "style"})
    INLINE = frozenset({"a", "abbr", "b", "code", "em", "i", "kbd", "small", "span", "strong"})
    SHOWN = frozenset({"alt", "aria-label", "placeholder", "title"})

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self.code = 0

    def add(self, text: str) -> None:
        """Add text that is at this place of the page."""
        self.lines += numbered(text, self.getpos()[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a paragraph, unless the tag is for a few words."""
        if tag not in self.INLINE:
            self.add("")
        for name, value in attrs:
            if name in self.SHOWN and value:
                self.add(f"{value}")
                self.add("")
        self.code += tag in self.CODE

    def handle_endtag(self, tag: str) -> None:
        """End a paragraph, unless the tag is for a few words."""
        if tag not in self.INLINE:
            self.add("")
        self.code -= tag in self.CODE

    def handle_data(self, data: str) -> None:
        """Add the text between two tags. A line break in it is not the end of a paragraph."""
        if not self.code:
            lines = numbered(data, self.getpos()[0])
            self.lines += [(number, line) for number, line in lines if line.strip()]


def page(source: str) -> Iterator[Line]:
    """Return the prose that a page of HTML or XML shows."""
    reader = Page()
    reader.feed(source)
    return paragraphs(reader.lines)


def commented(source: str) -> Iterator[Line]:
    """Return the comments of a shell script, TOML, JavaScript or CSS."""
    found = ((number, COMMENT.search(line)) for number, line in numbered(source))
    return paragraphs((number, match["text"] if match else "") for number, match in found)


READERS: dict[str, Callable[[str], Iterator[Line]]] = {
    ".html": page,
    ".md": markdown,
    ".py": python,
    ".rpy": python,
    ".rst": restructured_text,
    ".xml": page,
}


def prose_of(path: Path, messages: bool = True) -> list[Line]:
    """Return the prose of a file, with or without that of its strings."""
    read = READERS.get(path.suffix, commented)
    if read is python:
        read = partial(python, messages=messages)
    return list(read(path.read_text()))

"""The prose of a file, line by line, without the code, the literals and the markup around it.

What belongs here: reading reStructuredText, Markdown, Python and the other files of the product.
What does not: what good prose is; that is in `prose.py` and `prose.toml`.
"""

import ast
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from textwrap import dedent

Line = tuple[int, str]
"""The number of a line, and its text. A line without text ends a paragraph."""

WITH_CODE = re.compile(
    r"(py:)?currentmodule|code(-block)?|highlight|image|include|literalinclude|math"
    r"|parsed-literal|raw|toctree"
)
"""The directives that have code below them. Any other has prose."""

TITLED = re.compile(
    r"admonition|card|dropdown|grid-item-card|important|(csv-|list-)?table|note|rubric|seealso"
    r"|tab-item|tip|topic|warning"
)
"""The directives that have prose behind their name."""

DIRECTIVE = re.compile(r"\s*(?:[-*] +)*\.\. (?:\|\w+\| )?(?P<name>[\w:-]+)::(?P<title>.*)")
EXPLICIT = re.compile(r"\s*(\.\.( |$)|>>>)")
OPTION = re.compile(r"\s+:(?P<name>[\w-]+):(?P<value> .*|$)")

MARK = re.compile(r"^\s*((([-*+]|\d+\.|#\.)\s+)+|(?P<line>[=\-~^\"'#*+])(?P=line){2,}\s*$)")
ENTRY = re.compile(r"\s*([*\w.]+( \([^)]*\))?: |\".*\", \")")

INLINE = {
    re.compile(r"<!--.*?-->", re.DOTALL): "",
    re.compile(r"``.+?``", re.DOTALL): "X",
    re.compile(r"!?\[([^\]]*)\]\((?:[^()]|\([^)]*\))*\)"): r"\1",
    re.compile(r":(?:abbr|doc|ref|rfc|term):`([^`<]+?)\s*(?:<[^>]*>)?`"): r"\1",
    re.compile(r":[\w:]+:`[^`]+`"): "X",
    re.compile(r"`([^`<]+?)\s*<[^>`]+>`__?"): r"\1",
    re.compile(r"`([^`]+)`__?"): r"\1",
    re.compile(r"`[^`]+`", re.DOTALL): "X",
    re.compile(r"https?://[^\s)>\"']+"): "X",
    re.compile(r"%(\(\w+\))?[sdr]|\{[\w!:.]*\}"): "X",
    re.compile(r"</?[a-zA-Z][^<>]*>"): " ",
    re.compile(r"(?<!\w)(\*\*|[*_])(?=\S)(.+?)(?<=\S)\1(?!\w)", re.DOTALL): r"\2",
    re.compile(r"[ \t]+"): " ",
    re.compile(r"^ | $", re.MULTILINE): "",
}
"""Markup within a paragraph, and what a reader sees in its place. Code becomes an X."""

UNREAD_COMMENT = re.compile(r"#!|# (fmt:|noqa|pragma|type:)")
COMMENT = re.compile(r"(?:^|\s)(?:#|//|/\*|\* )\s?(?P<text>.*?)(?:\*/)?$")
MESSAGE = re.compile(r"[a-z,]+( [\w{}%'-]+){3}")

FAR = sys.maxsize


def numbered(text: str, first: int = 1) -> Iterator[Line]:
    """Return the lines of a text with their numbers."""
    return enumerate(text.split("\n"), first)


def seen_instead(text: str, match: re.Match[str]) -> str:
    """Return what a reader sees in place of some markup, in as many lines."""
    seen = match.expand(text)
    return seen + "\n" * (match[0].count("\n") - seen.count("\n"))


def paragraph(lines: list[Line]) -> Iterator[Line]:
    """Yield the lines of one paragraph without the markup, and the empty line after it."""
    text = "\n".join(line for _, line in lines)
    for markup, instead in INLINE.items():
        text = markup.sub(partial(seen_instead, instead), text)
    yield from zip((number for number, _ in lines), text.split("\n"), strict=True)
    yield lines[-1][0], ""


def paragraphs(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield paragraphs. An item of a list, an entry of a docstring and a row of a table are such."""
    gathered: list[Line] = []
    for number, line in lines:
        if gathered and (not line.strip() or MARK.match(line) or ENTRY.match(line)):
            yield from paragraph(gathered)
            gathered = []
        if text := MARK.sub("", line).strip():
            gathered.append((number, text))
    if gathered:
        yield from paragraph(gathered)


def depth(line: str, marks: str = r"(?:[-*] +)*") -> int:
    """Return the column in which the text of a line begins, behind marks of a list."""
    found = re.match(rf"\s*{marks}", line)
    return found.end() if found and line.strip() else FAR


def prose_and_code(line: str) -> tuple[str, int]:
    """Return the prose in a line, and the depth from which on code follows it."""
    if option := OPTION.match(line):
        return (option["value"] if option["name"] == "alt" else ""), FAR
    if directive := DIRECTIVE.match(line):
        title = directive["title"] if TITLED.fullmatch(directive["name"]) else ""
        return title, depth(line) if WITH_CODE.fullmatch(directive["name"]) else FAR
    if EXPLICIT.match(line):
        return "", depth(line)
    return line, depth(line) if line.rstrip().endswith("::") else FAR


def without_code(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines of reStructuredText that are not code, options, targets or comments."""
    code = FAR
    for number, line in lines:
        if not line.strip():
            yield number, ""
        elif depth(line, marks="") <= code:
            text, code = prose_and_code(line)
            yield number, text


def restructured_text(source: str, first: int = 1) -> Iterator[Line]:
    """Return the prose of reStructuredText."""
    return paragraphs(without_code(numbered(source, first)))


def without_fences(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines of Markdown that are not code. Each cell of a table has a line of its own."""
    fenced = False
    for number, line in lines:
        text = line.strip()
        if text.startswith(("```", "~~~")):
            fenced = not fenced
        if fenced or text.startswith(("#", "|", "```", "~~~")):
            cells = re.split(r"(?<!\\)\|", "" if fenced else text.strip("`~#| "))
            for cell in cells:
                yield from ((number, cell.strip("-: ")), (number, ""))
        else:
            yield number, line


def markdown(source: str) -> Iterator[Line]:
    """Return the prose of Markdown."""
    return paragraphs(without_fences(numbered(source)))


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

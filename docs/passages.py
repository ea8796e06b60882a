"""The prose of a file, line by line, without the code, the literals and the markup around it.

What belongs here: reading reStructuredText, Markdown, Python and the other files of the product.
What does not: what good prose is; that is in `prose.py` and `prose.toml`.
"""

import ast
import re
import tokenize
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from io import StringIO
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

Line = tuple[int, str]
"""The number of a line, and its text. Paragraphs are separated by lines without text."""

# Directives that show code or files. The text below any other directive is prose.
CODE = re.compile(
    r"(code|code-block|csv-filter|currentmodule|graphviz|highlight|image|include|literalinclude"
    r"|math|parsed-literal|py:currentmodule|py:module|raw|sourcecode|toctree|\w*testcode)$"
)
TITLED = re.compile(
    r"(admonition|card|csv-table|dropdown|grid-item-card|list-table|rubric|tab-item|table|topic"
    r"|note|warning|tip|important|seealso)$"
)
DIRECTIVE = re.compile(
    r"(?P<indent>\s*(?:[-*] +)*)\.\. (?:\|\w+\| )?(?P<name>[\w:-]+):: *(?P<title>.*)"
)
EXPLICIT = re.compile(r"(?P<indent>\s*)\.\.(?: |$)")
OPTION = re.compile(r"\s+:(?P<name>[\w-]+):(?P<value>.*)")
ITEM = re.compile(r"\s*(?:(?:[-*+]|\d+\.|#\.)\s+)+")
ENTRY = re.compile(r"\s*[*\w.]+(?: \([^)]*\))?: ")
ADORNMENT = re.compile(r"\s*([=\-~^\"'#*+])\1{2,}\s*$")
FENCE = re.compile(r"\s*(```|~~~)")

# Inline markup, and what a reader of the page sees in its place; code becomes an X.
INLINE = [
    (re.compile(r"<!--.*?-->", re.S), ""),
    (re.compile(r"``.+?``", re.S), "X"),
    (re.compile(r"!?\[([^\]]*)\]\((?:[^()]|\([^)]*\))*\)"), r"\1"),
    (re.compile(r":(?:doc|ref|term|rfc|abbr):`([^`<]+?)\s*(?:<[^>]*>)?`"), r"\1"),
    (re.compile(r":[\w:]+:`[^`]+`"), "X"),
    (re.compile(r"`([^`<]+?)\s*<[^>`]+>`__?"), r"\1"),
    (re.compile(r"`([^`]+)`__?"), r"\1"),
    (re.compile(r"`[^`]+`", re.S), "X"),
    (re.compile(r"https?://[^\s)>\"']+"), "X"),
    (re.compile(r"</?[a-zA-Z][^<>]*>"), " "),
    (re.compile(r"(?<!\w)(\*\*|[*_])(?=\S)(.+?)(?<=\S)\1(?!\w)", re.S), r"\2"),
]


def inline(text: str) -> str:
    """Return text without its inline markup, in as many lines."""
    for pattern, instead in INLINE:
        text = pattern.sub(
            lambda m, to=instead: (
                m.expand(to) + "\n" * (m[0].count("\n") - m.expand(to).count("\n"))
            ),
            text,
        )
    return text


def paragraph(lines: list[Line]) -> Iterator[Line]:
    """Yield the lines of one paragraph, without markup, and the empty line after it."""
    if lines:
        texts = inline("\n".join(text for _, text in lines)).split("\n")
        texts = [re.sub(r"[ \t]+", " ", text).strip() for text in texts]
        yield from zip((number for number, _ in lines), texts, strict=True)
        yield lines[-1][0], ""


def paragraphs(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield paragraphs: they end at empty lines, and at the next item, entry or heading."""
    gathered: list[Line] = []
    for number, line in lines:
        item = ITEM.match(line)
        if item or not line.strip() or ENTRY.match(line) or ADORNMENT.match(line):
            yield from paragraph(gathered)
            gathered = []
        text = line[item.end() :] if item else line
        if text.strip() and not ADORNMENT.match(line):
            gathered.append((number, text.strip()))
    yield from paragraph(gathered)


def indented(line: str) -> int:
    """Return by how much a line is indented."""
    return len(line) - len(line.lstrip())


def without_blocks(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines of reStructuredText outside of code, options and explicit markup."""
    skipped: int | None = None
    options = False
    for number, line in lines:
        blank = not line.strip()
        if skipped is not None and (blank or indented(line) > skipped):
            continue
        skipped = None
        if options and (option := OPTION.match(line)):
            if option["name"] == "alt":
                yield number, option["value"]
            continue
        options = False
        if directive := DIRECTIVE.match(line):
            options = True
            if CODE.match(directive["name"]):
                skipped = len(directive["indent"])
            yield number, directive["title"] if TITLED.match(directive["name"]) else ""
        elif EXPLICIT.match(line) or line.lstrip().startswith(">>>"):
            skipped = indented(line)
            yield number, ""
        else:
            yield number, line
            if line.rstrip().endswith("::"):
                skipped = indented(line)


def restructured(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the prose of reStructuredText."""
    return paragraphs(without_blocks(lines))


def markdown(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the prose of Markdown."""
    return paragraphs(without_fences(lines))


def without_fences(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines of Markdown outside of code; each cell of a table is a paragraph."""
    fenced = False
    for number, line in lines:
        if FENCE.match(line):
            fenced = not fenced
            yield number, ""
        elif line.lstrip().startswith("|"):
            for cell in line.strip().strip("|").split(" | "):
                yield from ((number, cell.strip(" |-:")), (number, ""))
        elif line.startswith("#"):
            yield from ((number, line.lstrip("# ")), (number, ""))
        elif not fenced:
            yield number, line


def python(source: str, messages: bool) -> Iterator[Line]:
    """Yield the prose of docstrings and comments, and of strings that read like messages."""
    tree = ast.parse(source)
    docstrings = {
        id(node.value): node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }
    for value in docstrings.values():
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            first, *rest = value.value.split("\n")
            text = "\n".join([first, dedent("\n".join(rest))])
            yield from restructured(enumerate(text.split("\n"), value.lineno))
    yield from comments(source)
    if messages:
        yield from strings(tree, set(docstrings))


def comments(source: str) -> Iterator[Line]:
    """Yield the comments of Python; those in consecutive lines are one paragraph."""
    found = [
        token
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
        and not re.match(r"#!|# (noqa|type:|pragma|fmt:)", token.string)
    ]
    lines: list[Line] = []
    for before, token in pairwise([None, *found]):
        assert token is not None
        if before and (token.start[0] - 1, token.start[1]) != before.start:
            lines.append((before.start[0], ""))
        lines.append((token.start[0], token.string.lstrip("#: ")))
    return paragraphs(lines)


def strings(tree: ast.AST, docstrings: set[int]) -> Iterator[Line]:
    """Yield the strings of four words or more that are not docstrings."""
    if id(tree) in docstrings:
        return
    if isinstance(tree, ast.Constant | ast.JoinedStr):
        if isinstance(text := literal(tree), str) and re.search(r"[a-z,]+( [\w{}%'-]+){3}", text):
            text = re.sub(r"%(\(\w+\))?[sdr]|\{[\w!:.]*\}", "X", text)
            yield from paragraphs((tree.lineno, line) for line in text.split("\n"))
    else:
        for child in ast.iter_child_nodes(tree):
            yield from strings(child, docstrings)


def literal(node: ast.expr) -> object:
    """Return a literal's value; in an f-string, each expression is an X."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(literal(part)) for part in node.values)
    return node.value if isinstance(node, ast.Constant) else "X"


class Page(HTMLParser):
    """Gathers the text of HTML or XML, and of the attributes that are shown."""

    CODE = frozenset({"code", "pre", "script", "style"})
    INLINE = frozenset({"a", "abbr", "b", "code", "em", "i", "kbd", "small", "span", "strong"})
    SHOWN = frozenset({"alt", "aria-label", "content", "placeholder", "title"})

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self.code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        number = self.getpos()[0]
        shown = [value for name, value in attrs if name in self.SHOWN and value and " " in value]
        if tag not in self.INLINE:
            self.lines.append((number, ""))
        for value in shown:
            self.lines += [(number, value), (number, "")]
        self.code += tag in self.CODE
        if tag == "code":
            self.lines.append((number, "X"))

    def handle_endtag(self, tag: str) -> None:
        self.code -= tag in self.CODE
        if tag not in self.INLINE:
            self.lines.append((self.getpos()[0], ""))

    def handle_data(self, data: str) -> None:
        if not self.code:
            lines = enumerate(data.split("\n"), self.getpos()[0])
            self.lines += [(number, line) for number, line in lines if line.strip()]


def page(source: str) -> Iterator[Line]:
    """Yield the prose that a page of HTML or XML shows."""
    reader = Page()
    reader.feed(source)
    return paragraphs(reader.lines)


def commented(source: str) -> Iterator[Line]:
    """Yield the comments of a shell script, TOML, JavaScript or CSS."""
    marked = re.compile(r"(?:^|\s)(?:#|//|/\*|\* )\s?(?P<text>.*?)(?:\*/)?$")
    found = ((number, marked.search(line)) for number, line in enumerate(source.split("\n"), 1))
    return paragraphs((number, match["text"] if match else "") for number, match in found)


def prose_of(path: Path, messages: bool = True) -> list[Line]:
    """Return the prose of a file; `messages` says whether that of its strings is wanted."""
    source = path.read_text()
    match path.suffix:
        case ".py" | ".rpy":
            return list(python(source, messages))
        case ".rst":
            return list(restructured(enumerate(source.split("\n"), 1)))
        case ".md":
            return list(markdown(enumerate(source.split("\n"), 1)))
        case ".html" | ".xml":
            return list(page(source))
        case _:
            return list(commented(source))

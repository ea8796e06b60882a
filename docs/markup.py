"""The prose of reStructuredText and Markdown, line by line, without code, literals and markup.

What belongs here: telling the words that a reader sees from everything else. What does not: where
a file has such text (`passages`), and what good prose is (`prose`).
"""

import re
import sys
from collections.abc import Iterable, Iterator
from functools import partial

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


def depth(line: str, marks: str = r"(?:(?:[-*+]|\d+\.|#\.) +)*") -> int:
    """Return the column in which the text of a line begins, behind marks of a list."""
    found = re.match(rf"\s*{marks}", line)
    return found.end() if found and line.strip() else FAR


def begins(line: str, before: str) -> bool:
    """Return whether a line begins a paragraph, an item, an entry, a row or a definition."""
    is_term = not ENTRY.match(before) and FAR > depth(line, marks="") > depth(before)
    return bool(is_term or not line.strip() or MARK.match(line) or ENTRY.match(line))


def paragraphs(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield paragraphs; so are items of lists, entries of docstrings and rows of tables."""
    gathered: list[Line] = []
    before = ""
    for number, line in lines:
        if gathered and begins(line, before):
            yield from paragraph(gathered)
            gathered = []
        if text := MARK.sub("", line).strip():
            gathered.append((number, text))
        before = line
    if gathered:
        yield from paragraph(gathered)


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
    """Yield the lines of Markdown that are not code. A cell of a table is a paragraph."""
    fenced = False
    for number, line in lines:
        text = line.strip()
        if text.startswith(("```", "~~~")):
            fenced = not fenced
            yield number, ""
        elif text.startswith(("#", "|")) and not fenced:
            for cell in text.strip("#|").split("|"):
                yield from ((number, cell.strip("-: ")), (number, ""))
        elif not fenced:
            yield number, line


def markdown(source: str) -> Iterator[Line]:
    """Return the prose of Markdown."""
    return paragraphs(without_fences(numbered(source)))

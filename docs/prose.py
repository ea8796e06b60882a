"""Check the prose of the product: `python docs/prose.py`, or with the names of files.

Prints `file:line: what is wrong, and what to write instead`, and exits with 1 if there is anything.
The rules are in `prose.toml`, and with them the checks of proselint that apply.
"""

import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TypedDict

from passages import Line, prose_of
from proselint.checks import __register__ as proselint_checks
from proselint.config import Config
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckFlags, CheckResult
from proselint.tools import LintFile

ROOT = Path(__file__).parents[1]

START = r"(?<=\n\n)"
"""Where a paragraph begins, as a regular expression."""


class Rule(TypedDict):
    """A rule of ours: the pattern that it finds, and what the author reads."""

    why: str
    pattern: str
    write: str
    bad: str
    good: str


class Rules(TypedDict):
    """What `prose.toml` has."""

    longest_sentence: int
    files: list[str]
    words_only: list[str]
    proselint: list[str]
    rules: dict[str, Rule]
    words: dict[str, str]


RULES: Rules = tomllib.loads(Path(__file__).with_name("prose.toml").read_text())  # type: ignore[assignment]


def matching(
    pattern: re.Pattern[str], write: str, text: str, check: Check
) -> Iterator[CheckResult]:
    """Find a pattern of ours."""
    for found in pattern.finditer(text):
        quoted = " ".join(found[0].split()).strip(".,:;( ")
        # A finding that begins with the end of the last sentence belongs to the next line.
        start = found.end() - len(found[0].lstrip(".,:;( \n"))
        yield CheckResult(check.path, f"'{quoted}': write {write}", (start, found.end()), None)


def too_long(longest: int, text: str, check: Check) -> Iterator[CheckResult]:
    """Find sentences with too many words."""
    for sentence in re.finditer(
        r"\S(?:(?!\n\n)[\s\S])*?(?:[.!?:][\"')]*(?=\s+[^a-z\s]|\s*$)|(?=\n\n)|$)", text
    ):
        count = sum(bool(re.search(r"\w", word)) for word in sentence[0].split())
        if count > longest:
            message = f"a sentence of {count} words: cut it in two, {longest} at most"
            yield CheckResult(check.path, message, sentence.span(), None)


def own(name: str, function: Callable[[str, Check], Iterator[CheckResult]]) -> Check:
    """Return a check of ours, as proselint runs it."""
    return Check(check_type=function, path=f"cancelweb.{name}", flags=CheckFlags(allow_quotes=True))


def register(rules: Rules) -> None:
    """Hand proselint's checks and ours to proselint's registry, which is global."""
    registry = CheckRegistry()
    registry.register_many(proselint_checks)
    for name, rule in rules["rules"].items():
        pattern = re.compile(rule["pattern"].replace(" ", r"\s").replace("^", START), re.I)
        registry.register(own(name, partial(matching, pattern, rule["write"])))
    for word, write in rules["words"].items():
        pattern = re.compile(rf"\b{word}\b".replace(" ", r"\s"), re.I)
        registry.register(own("word", partial(matching, pattern, write)))
    registry.register(own("long-sentence", partial(too_long, rules["longest_sentence"])))


def lint(name: str, lines: list[Line], words_only: bool = False) -> Iterator[str]:
    """Yield what is wrong with these lines."""
    checks = {"cancelweb.long-sentence": not words_only, "cancelweb": True}
    checks |= dict.fromkeys(RULES["proselint"], not words_only)
    file = LintFile(name, "\n" + "\n".join(text for _, text in lines))
    for found in file.lint(Config(max_errors=sys.maxsize, checks=checks)):
        number = lines[found.pos[0] - 2][0]
        rule = found.check_result.check_path.removeprefix("cancelweb.")
        yield f"{name}:{number}: {found.check_result.message} [{rule}]"


def read(path: Path) -> Iterator[str]:
    """Yield what is wrong with the prose of a file."""
    path = path.resolve()
    name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
    words_only = any(fnmatch(name, pattern) for pattern in RULES["words_only"])
    return lint(name, prose_of(path, messages=not words_only), words_only)


def product() -> Iterable[Path]:
    """Return the files of the product that have prose."""
    return sorted({path for pattern in RULES["files"] for path in ROOT.glob(pattern)})


def main(names: list[str]) -> int:
    """Check some files, or all."""
    register(RULES)
    found = 0
    for path in [Path(name) for name in names] or product():
        for message in read(path):
            print(message)
            found += 1
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

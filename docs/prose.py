"""Check the prose of the product: `python docs/prose.py`, or with the names of some files.

Prints `file:line: what is wrong: what to write instead`, and exits with 1 if anything is wrong.
The rules are in `prose.toml`. They run as checks of proselint, together with some of its own.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TypedDict, cast

from markup import Line
from passages import prose_of
from proselint.checks import __register__ as proselint_checks
from proselint.registry.checks import Check, CheckResult

ROOT = Path(__file__).parents[1]

START = r"(?<=\n\n)"
"""Where a paragraph begins, as a regular expression."""

SENTENCE = re.compile(
    r"""
    \S (?: (?!\n\n) [\s\S] )*?                     # within one paragraph,
    (?: (?<!e\.g) (?<!i\.e) [.!?] ["')]* (?= \s )  # up to the end of a sentence,
      | : (?= \s+ [^a-z\s] )                       # up to a colon with a sentence after it,
      | (?= \n\n ) | $ )                           # or up to the end of the paragraph
    """,
    re.VERBOSE,
)


class Rule(TypedDict):
    """What a rule finds, what to write instead, and an example of each."""

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


RULES = cast(Rules, tomllib.loads(Path(__file__).with_name("prose.toml").read_text()))


def found_by(
    pattern: re.Pattern[str], write: str, text: str, check: Check
) -> Iterator[CheckResult]:
    """Find a pattern of ours."""
    for found in pattern.finditer(text):
        # What comes before the first word may be at the end of another line.
        words = re.sub(r"^\W+", "", found[0])
        span = (found.end() - len(words), found.end())
        message = f"'{' '.join(words.split())}': write {write}"
        yield CheckResult(check.path, message, span, None)


def too_long(text: str, check: Check) -> Iterator[CheckResult]:
    """Find sentences of too many words."""
    longest = RULES["longest_sentence"]
    for sentence in SENTENCE.finditer(text):
        words = [word for word in sentence[0].split() if re.search(r"\w", word)]
        if len(words) > longest:
            message = f"a sentence of {len(words)} words: write two, of {longest} at most"
            yield CheckResult(check.path, message, sentence.span(), None)


def own(name: str, pattern: str, write: str) -> Check:
    """Return the check that finds a pattern of ours."""
    compiled = re.compile(pattern.replace(" ", r"\s").replace("^", START), re.IGNORECASE)
    return Check(path=name, check_type=partial(found_by, compiled, write))


WORDS: list[Check] = [
    *(own(name, rule["pattern"], rule["write"]) for name, rule in RULES["rules"].items()),
    *(own("word", rf"\b({word})\b", write) for word, write in RULES["words"].items()),
]
"""The checks that all prose has to pass."""

ALL: list[Check] = [
    *WORDS,
    Check(path="long-sentence", check_type=too_long),
    *(check for check in proselint_checks if any(map(check.matches_partial, RULES["proselint"]))),
]
"""The checks that the prose for users has to pass."""


def lint(lines: list[Line], checks: Iterable[Check]) -> list[tuple[int, str]]:
    """Return what is wrong, with the number of its line."""
    # As many empty lines in front let a pattern see where the first paragraph begins.
    text = "\n\n" + "\n".join(line for _, line in lines)
    results = [result for check in checks for result in check.check_with_flags(text)]
    return sorted(
        (lines[text.count("\n", 0, each.span[0]) - 2][0], f"{each.message} [{each.check_path}]")
        for each in results
    )


def lint_file(path: Path) -> Iterator[str]:
    """Yield what is wrong with the prose of a file."""
    path = path.resolve()
    name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
    words_only = any(fnmatch(name, pattern) for pattern in RULES["words_only"])
    lines = prose_of(path, messages=not words_only)
    for number, message in lint(lines, WORDS if words_only else ALL):
        yield f"{name}:{number}: {message}"


def product() -> list[Path]:
    """Return the files of the product that have prose."""
    return sorted({path for pattern in RULES["files"] for path in ROOT.glob(pattern)})


def main(names: list[str]) -> int:
    """Check some files, or the whole product."""
    paths = [Path(name) for name in names] or product()
    wrong = [message for path in paths for message in lint_file(path)]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

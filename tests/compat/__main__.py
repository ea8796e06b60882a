"""Compare what comes of other people's tests, plain and wrapped, test by test.

Prints the counts and every difference. The status is 1 if a difference is not explained below,
or if something is explained that does not differ.
"""

import json
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import define

from .suite import Outcomes

SUITES = ("twisted.web", "klein")

IDENTITY = "asserts the class, the identity or the repr of a resource, which are the wrapper's"

EXPLAINED = {
    "twisted.web.test.test_tap.ServiceTests.test_add_header_resource": IDENTITY,
    "twisted.web.test.test_tap.ServiceTests.test_pathServer": IDENTITY,
    "twisted.web.test.test_vhost.HostResourceTests.test_getChild": IDENTITY,
    "twisted.web.test.test_web.NewRenderTests.test_noBytesResult": IDENTITY,
    "twisted.web.test.test_web.SiteTest.test_simplestSite": IDENTITY,
}


@define(frozen=True)
class Run:
    """What one run wrote down."""

    outcomes: Outcomes
    rendered: int

    def __str__(self) -> str:
        counts = Counter(kind for kinds in self.outcomes.values() for kind in kinds)
        parts = [f"{count} {kind}" for kind, count in counts.most_common()]
        return ", ".join([*parts, f"{self.rendered} renderings inside a wrapper"])

    def kinds(self, test: str) -> str:
        """What came of a test, without the reasons."""
        return " and ".join(self.outcomes.get(test, {"not run": ""}))


def run(mode: str, directory: Path) -> Run:
    """Run the suites in a process of its own, since wrapping cannot be undone."""
    file = directory / mode
    subprocess.run(
        [sys.executable, "-m", "tests.compat.suite", mode, file, *SUITES],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=600,
    )
    return Run(**json.loads(file.read_text()))


def differences(plain: Run, wrapped: Run) -> list[str]:
    """The tests that came out differently."""
    tests = {**plain.outcomes, **wrapped.outcomes}
    return sorted(test for test in tests if plain.kinds(test) != wrapped.kinds(test))


def describe(test: str, plain: Run, wrapped: Run) -> str:
    """What there is to say of a difference."""
    head = f"{test}: {plain.kinds(test)} plain, {wrapped.kinds(test)} wrapped"
    if test in EXPLAINED:
        return f"{head}; it {EXPLAINED[test]}"
    return "\n".join([head, "NOT EXPLAINED", *wrapped.outcomes.get(test, {}).values()])


def main() -> int:
    """Run both, and compare."""
    with TemporaryDirectory() as directory:
        plain, wrapped = (run(mode, Path(directory)) for mode in ("plain", "wrapped"))
    different = differences(plain, wrapped)
    unexplained = set(different) - EXPLAINED.keys()
    # A suite need not have all these tests: they are of many versions.
    superfluous = (EXPLAINED.keys() - set(different)) & plain.outcomes.keys()
    print(f"Twisted {version('twisted')}, Klein {version('klein')}")
    print(f"plain:   {plain}\nwrapped: {wrapped}")
    for test in different:
        print(describe(test, plain, wrapped))
    for test in sorted(superfluous):
        print(f"{test}: explained, and does not differ")
    print(f"{len(different)} differ, {len(unexplained)} of them not explained")
    return 1 if unexplained or superfluous or not wrapped.rendered else 0


if __name__ == "__main__":
    sys.exit(main())

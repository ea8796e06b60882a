"""The ways to find a test: README.md and promises.md beside the folders of the tests, and a page.

What belongs here: that they are complete, and that what they name exists. The page is the one for
reviewers, "Security and limits". What does not: the list
of traps (`test_traps`).
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase

import cancelweb

from .._docs import DOCS
from ._cases import CASES, TESTS

PACKAGE = Path(cancelweb.__file__).parent
GUIDE = (TESTS / "README.md").read_text()
BY_MODULE = {
    module: re.findall(r"`(.+?)`", tests)
    for module, tests in re.findall(
        r"^\| `([\w.]+)` \| (.+) \|$", GUIDE.partition("## By module")[2], re.M
    )
}
"""Modules of the package, and patterns of the modules of tests that are about them."""

PROMISES = re.findall(r"^\| (\d+) \| .+? \| (.+) \|$", (TESTS / "promises.md").read_text(), re.M)
MODULES = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
MIRRORS = ("http", "kinds", "operating", "scopes", "stoppable", "testing")
"""The folders whose tests are about modules of the package."""

IN_NONE = {"__init__", "__main__"}


def names_of_package() -> set[str]:
    """Each module of the package with something in it to be tested, as a name below the package."""
    paths = [path for path in PACKAGE.rglob("*.py") if path.stem not in IN_NONE]
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in paths}


def promises_named() -> Iterator[tuple[str, str]]:
    """The numbers of the promises that docstrings of classes name, each with the class."""
    for module, cases in CASES.items():
        for name, case in cases.items():
            named = " ".join(re.findall(r"\bpromises? ([\d, and]+)", case.docstring, re.I))
            for number in re.findall(r"\d+", named):
                yield number, f"{module}.{name}"


class ByModuleTests(SynchronousTestCase):
    """The table of modules in the guide to the tests."""

    def test_has_each_module_of_the_package(self) -> None:
        """The guide's table has each module of the package, and nothing else."""
        self.assertEqual(set(BY_MODULE), names_of_package())

    def test_tests_exist(self) -> None:
        """Each pattern in the guide's table matches a module of tests."""
        self.assertTrue(BY_MODULE)
        for module, patterns in BY_MODULE.items():
            self.assertTrue(patterns, module)
            for pattern in patterns:
                self.assertTrue(any(fnmatch(name, pattern) for name in MODULES), (module, pattern))

    def test_topics_exist(self) -> None:
        """Each pattern in the table of topics stands for modules that there are."""
        topics, _, _ = GUIDE.partition("## By topic")[2].partition("## By module")
        patterns = re.findall(r"`([\w/]+test_[\w*]+\.py)`", topics)
        self.assertGreater(len(patterns), 50)
        for pattern in patterns:
            self.assertTrue(any(fnmatch(name, pattern) for name in MODULES), pattern)

    def test_has_each_module_of_tests(self) -> None:
        """Each module of tests in a mirroring folder is about some module of the package."""
        patterns = {pattern for each in BY_MODULE.values() for pattern in each}
        for name in sorted(MODULES):
            if name.startswith(MIRRORS):
                is_found = any(fnmatch(name, pattern) for pattern in patterns)
                if not is_found:
                    self.fail(f'no pattern in the table "By module" of tests/README.md fits {name}')

    def test_folders(self) -> None:
        """The guide to the tests lists each folder of tests."""
        for path in [*TESTS.glob("*/__init__.py"), *TESTS.glob("real/*/__init__.py")]:
            name = path.parent.name
            if name != "real":
                self.assertTrue(re.search(rf"^\| `.*\b{name}\b.*` \|", GUIDE, re.M), name)


class ExampleTests(SynchronousTestCase):
    """The test that the guide shows."""

    def test_passes(self) -> None:
        """The guide's example is a test that passes, in any folder of quick tests."""
        [example] = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.M | re.S)
        names: dict[str, Any] = {"__name__": "tests.http.test_leaving"}
        exec(example, names)
        result = TestResult()
        names["LeavingTests"]("test_is_stopped").run(result)
        self.assertEqual((result.successes, result.failures, result.errors), (1, [], []))


class PromisesTests(SynchronousTestCase):
    """The list of promises, and the tests that it names."""

    def test_is_complete(self) -> None:
        """The list of promises has all eighteen, in order."""
        self.assertEqual([int(number) for number, _ in PROMISES], list(range(1, 19)))

    def test_tests_exist(self) -> None:
        """Each class of tests that the list of promises names exists."""
        for _, tests in PROMISES:
            for module, case in re.findall(r"`([\w.]+)\.(\w+)`", tests):
                self.assertIn(case, CASES[module], module)

    def test_has_each_class_that_names_a_promise(self) -> None:
        """Each class of tests whose docstring names a promise is in the row of that promise."""
        rows, named = dict(PROMISES), list(promises_named())
        self.assertTrue(named)
        for number, name in named:
            advice = f"add {name} to row {number} of tests/promises.md"
            self.assertIn(f"`{name}`", rows[number], advice)


class SecurityTests(SynchronousTestCase):
    """The page "Security and limits", whose tables name a test for each threat."""

    def test_tests_exist(self) -> None:
        """Each threat has a bound and at least one class of tests, and each of these exists."""
        page = (DOCS / "explanation" / "security.rst").read_text()
        rows = re.findall(r"^   \* - (.+?)(?=^   \* |^\S|\Z)", page, re.M | re.S)
        self.assertGreater(len(rows), 30)
        for row in rows:
            threat, bound, tests = re.split(r"^     - ", row, flags=re.M)
            self.assertTrue(threat.strip() and bound.strip())
            if threat.strip() != "threat":
                self.assertRegex(tests, r"^(``[\w.]+``[,;\s]*)+$")
                for module, case in re.findall(r"``([\w.]+)\.(\w+)``", tests):
                    self.assertIn(case, CASES.get(module, {}), module)

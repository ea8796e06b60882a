"""The sessions of nox run all tests: each folder is in one of them, and CI runs each session.

What belongs here: comparing the folders, the noxfile and CI's script with each other. What does
not: what is in the modules.
"""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .._docs import README
from .._servers import REPOSITORY
from ._cases import CASES, TESTS, methods

NOXFILE = (REPOSITORY / "noxfile.py").read_text()
RUNS = {
    name: set(re.findall(r"\b(?:real\.\w+|benchmarks(?=\")|QUICK)", body))
    for name, body in re.findall(r"^def (\w+)\(session(.*?)(?=^\S)", NOXFILE, re.M | re.S)
}
"""What each session runs: folders by their names below `tests`, or QUICK."""

TOGETHER = {"system", "programs"}
"""The folders of `real` that have no session of their own: `tests` runs them with the quick."""


def folders(path: Path) -> set[str]:
    """The names of the packages in a folder."""
    return {each.parent.name for each in path.glob("*/__init__.py")}


class SessionsTests(SynchronousTestCase):
    """The folders of tests, and the sessions of nox that run them."""

    def test_no_test_lies_about(self) -> None:
        """No module of tests is directly below `tests` or `tests/real`."""
        lying = [*TESTS.glob("test_*.py"), *TESTS.glob("real/test_*.py")]
        self.assertEqual(lying, [])

    def test_folders_are_packages(self) -> None:
        """Each folder with a module of tests is a package."""
        for path in TESTS.rglob("test_*.py"):
            self.assertTrue((path.parent / "__init__.py").exists(), path)

    def test_each_folder_is_run(self) -> None:
        """Each folder of `real` has a session of its name in CI, or is run by `tests`."""
        self.assertEqual(RUNS["tests"], {"QUICK", *(f"real.{name}" for name in TOGETHER)})
        in_ci = re.findall(r'tags=\["ci"\]\)\ndef (\w+)\(', NOXFILE)
        for name in folders(TESTS / "real") - TOGETHER:
            self.assertIn(name, in_ci)
            self.assertEqual(RUNS[name], {f"real.{name}"})
        self.assertIn("benchmarks", in_ci)
        self.assertEqual(RUNS["benchmarks"], {"benchmarks"})

    def test_the_rest_is_quick(self) -> None:
        """The folders that are not quick are `benchmarks`, `compat`, `real` and `typing`."""
        [named] = re.findall(r"^NOT_QUICK = \{(.*)\}$", NOXFILE, re.M)
        slow = {"benchmarks", "compat", "real", "typing"}
        self.assertEqual(set(re.findall(r'"(\w+)"', named)), slow)
        self.assertEqual(RUNS["quick"], {"QUICK"})

    def test_deselected_tests_exist(self) -> None:
        """Each test that the mutation session leaves out exists."""
        pyproject = (REPOSITORY / "pyproject.toml").read_text()
        deselected = re.findall(r"--deselect=tests/([\w/]+)\.py::(\w+)::(\w+)\"", pyproject)
        self.assertEqual(len(deselected), pyproject.count("--deselect"))
        for path, case, test in deselected:
            self.assertIn(test, methods(CASES[path.replace("/", ".")][case]))

    def test_ci_runs_both_commands(self) -> None:
        """CI runs the README's own command, and then all other sessions."""
        [command] = re.findall(r"^python3 -m venv .*nox$", README.read_text(), re.M)
        script = (REPOSITORY / ".ci" / "run").read_text()
        found = re.findall(r"^ *(\S.*) \|\| failed=1$", script, re.M)
        self.assertEqual(found, [command, ".venv/bin/nox -t ci"])

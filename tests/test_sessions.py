"""The sessions of nox run all tests: each module is in one of them, and CI runs each session.

What belongs here: comparing `sessions.toml`, the noxfile and CI's script with each other. What does
not: what is in the modules.
"""

import re
import tomllib
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ._cases import CASES, methods
from ._docs import README
from ._servers import REPOSITORY

HERE = Path(__file__).parent
LISTED = tomllib.loads((HERE / "sessions.toml").read_text())
NOXFILE = (REPOSITORY / "noxfile.py").read_text()


class SessionsTests(SynchronousTestCase):
    """The lists of modules, and the sessions that run them."""

    def test_listed_modules_exist(self) -> None:
        """Each module in a list is there; what is in none is quick."""
        listed = {f"{module}.py" for modules in LISTED.values() for module in modules}
        self.assertEqual(listed - {path.name for path in HERE.glob("test_*.py")}, set())

    def test_listed_once(self) -> None:
        """No module is in two lists."""
        listed = Counter(module for modules in LISTED.values() for module in modules)
        self.assertEqual([module for module, count in listed.items() if count > 1], [])

    def test_each_list_is_run(self) -> None:
        """Each list has a session of its name in CI, but two, which `tests` runs with the quick."""
        runs = {
            name: set(re.findall(r'LISTED\["(\w+)"\]|\*(QUICK)', body))
            for name, body in re.findall(r"^def (\w+)\(session(.*?)(?=^\S)", NOXFILE, re.M | re.S)
        }
        self.assertEqual(runs["tests"], {("real", ""), ("shown", ""), ("", "QUICK")})
        in_ci = re.findall(r'tags=\["ci"\]\)\ndef (\w+)\(', NOXFILE)
        for name in LISTED.keys() - {"real", "shown"}:
            self.assertIn(name, in_ci)
            self.assertEqual(runs[name], {(name, "")})

    def test_deselected_tests_exist(self) -> None:
        """Each test that the mutation session leaves out is there."""
        pyproject = (REPOSITORY / "pyproject.toml").read_text()
        deselected = re.findall(r"--deselect=tests/(\w+)\.py::(\w+)::(\w+)\"", pyproject)
        self.assertEqual(len(deselected), pyproject.count("--deselect"))
        for module, case, test in deselected:
            self.assertIn(test, methods(CASES[module][case]))

    def test_ci_runs_both_commands(self) -> None:
        """CI sets up and runs the checks with the README's own command, then all other sessions."""
        [command] = re.findall(r"^python3 -m venv .*nox$", README.read_text(), re.M)
        script = (REPOSITORY / ".ci" / "run").read_text()
        found = re.findall(r"^ *(\S.*) \|\| failed=1$", script, re.M)
        self.assertEqual(found, [command, ".venv/bin/nox -t ci"])

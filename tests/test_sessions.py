"""The sessions of nox run all tests: each module is in one of them, and CI runs each session.

What belongs here: comparing `sessions.toml`, the noxfile and CI's script with each other. What does
not: what is in the modules.
"""

import re
import tomllib
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

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
        self.assertLessEqual(listed, {path.name for path in HERE.glob("test_*.py")})

    def test_listed_once(self) -> None:
        """No module is in two lists, so none runs twice in CI on one Python and Twisted."""
        listed = Counter(module for modules in LISTED.values() for module in modules)
        self.assertEqual([module for module, count in listed.items() if count > 1], [])

    def test_each_list_is_run(self) -> None:
        """Each list has a session of its own in CI, or is run by plain `nox` in `tests`."""
        ours = re.findall(
            r'^@nox\.session\(default=False, tags=\["ci"\]\)\ndef (\w+)\(', NOXFILE, re.M
        )
        named = set(re.findall(r'LISTED\["(\w+)"\]', NOXFILE))
        self.assertEqual(named, set(LISTED))
        self.assertEqual(set(LISTED) - set(ours), {"real", "shown"})

    def test_deselected_tests_exist(self) -> None:
        """Each test that the mutation session leaves out is there."""
        pyproject = (REPOSITORY / "pyproject.toml").read_text()
        deselected = re.findall(r"--deselect=(\S+)::(\w+)::(\w+)\"", pyproject)
        self.assertTrue(deselected)
        for path, case, test in deselected:
            source = (REPOSITORY / path).read_text()
            self.assertRegex(source, rf"(?s)class {case}\(.*    def {test}\(", path)

    def test_ci_runs_what_the_readme_says(self) -> None:
        """CI sets up and runs the checks with the README's own command."""
        [command] = re.findall(r"^python3 -m venv .*nox$", README.read_text(), re.M)
        self.assertIn(command, (REPOSITORY / ".ci" / "run").read_text())

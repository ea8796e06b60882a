"""The type checkers that users have, on the programs in this folder and on those of the docs.

What belongs here: running the checkers. What does not: the programs. In these, each `type: ignore`
marks a line that must be an error. A checker reports a mark where there is no error.
"""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .._docs import DOCS, WRONG_TYPE, directives
from .._programs import find_program
from .._servers import REPOSITORY

PROGRAMS = [path for path in Path(__file__).parent.glob("*.py") if path != Path(__file__)]
SNIPPETS = [*(DOCS / "howto" / "snippets").glob("typed_*.py")]
SHOWN = [each.body.strip() for each in directives((DOCS / "howto" / "typing.rst").read_text())]
"""The blocks of code in the page of the docs."""


class CheckersTests(SynchronousTestCase):
    """What each checker says of the programs."""

    def check(self, *command: str) -> str:
        """Run a checker in the repository; returns what it says."""
        program = find_program(command[0], "install the dependency group typing")
        # pyright asks the package index for a newer version, unless it is to give no warnings.
        env = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "true"}
        found = subprocess.run(
            [program, *command[1:]], cwd=REPOSITORY, env=env, capture_output=True
        )
        return (found.stdout + found.stderr).decode()

    def mypy(self, *arguments: str, config: str = "") -> str:
        """Run mypy, with no configuration but this one."""
        path = Path(self.mktemp()).with_suffix(".toml")
        path.write_text(config)
        python = f"--python-executable={sys.executable}"
        # mypy runs in the repository, where a relative path would make a directory.
        cache = Path(self.mktemp()).resolve()
        options = (f"--config-file={path.resolve()}", f"--cache-dir={cache}", python)
        return self.check("mypy", *options, *arguments)

    def test_mypy_alone(self) -> None:
        """The programs are as they should be for a mypy that has no plugin."""
        paths = map(str, [*PROGRAMS, *SNIPPETS])
        said = self.mypy("--strict", "--allow-untyped-calls", *paths)
        self.assertRegex(said, r"^Success: no issues found")

    def test_mypy_as_the_docs_set_it_up(self) -> None:
        """The programs are as they should be for mypy with the settings in the docs."""
        [config] = [each for each in SHOWN if each.startswith("[tool.mypy]")]
        said = self.mypy(*map(str, [*PROGRAMS, *SNIPPETS]), config=config)
        self.assertRegex(said, r"^Success: no issues found")

    def test_pyright(self) -> None:
        """The programs are as they should be for pyright."""
        self.assertEqual(self.check("pyright"), "0 errors, 0 warnings, 0 informations\n")

    def test_pyright_finds_the_wrong_handler(self) -> None:
        """The wrong handler of the docs is an error for pyright, too."""
        said = self.check("pyright", str(WRONG_TYPE))
        self.assertIn('parameter "handler" of type "(**P@cancel_on_disconnect) -> Returned"', said)
        self.assertRegex(said, r"wrong_type\.py:8:6 - error: [\s\S]*\n1 error, 0 warnings")

    def test_message_in_the_docs(self) -> None:
        """The docs show the message that mypy has for the wrong handler."""
        [message] = [each for each in SHOWN if each.startswith("wrong_type.py")]
        said = self.mypy(str(WRONG_TYPE))
        self.assertIn(f"/{message}\n", said)

"""How pytest runs the tests, for `nox -s mutation`: the quick ones, each in a directory of its own.

trial, which runs them everywhere else, starts in a temporary directory.
"""

import tomllib
from pathlib import Path

import pytest
from twisted.logger import globalLogBeginner

# Until it is told where to log, Twisted keeps all events, and with them whatever they refer to.
globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)

_LISTED = tomllib.loads(Path(__file__).with_name("sessions.toml").read_text())

collect_ignore = [f"{module}.py" for modules in _LISTED.values() for module in modules]


@pytest.fixture(autouse=True)
def _directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

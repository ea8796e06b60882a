"""How pytest runs the tests, for `nox -s mutation`: the quick ones, each in a directory of its own.

trial, which runs them everywhere else, starts in a temporary directory.
"""

from pathlib import Path

import pytest
from twisted.logger import globalLogBeginner

# Until it is told where to log, Twisted keeps all events, and with them whatever they refer to.
globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)

collect_ignore = ["benchmarks", "compat", "real", "typing"]


@pytest.fixture(autouse=True)
def _directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

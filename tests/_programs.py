"""Programs that not every machine has: a test that needs one is skipped, and fails in CI.

What belongs here: finding them, and saying what to install. What does not: starting them.
"""

import os
import shutil
from collections.abc import Sequence

from twisted.trial.unittest import FailTest, SkipTest


def refusal(reason: str) -> Exception:
    """The exception that a test raises if it cannot run on this machine.

    Args:
        reason: What is missing, and what to install.

    Returns:
        A SkipTest; in CI, where a skip would go unseen, a FailTest.
    """
    refuse = FailTest if os.environ.get("CI") == "true" else SkipTest
    return refuse(reason)


def find_program(names: str | Sequence[str], remedy: str, elsewhere: str = "") -> str:
    """Find a program.

    Args:
        names: Its name, or the names that it has on different systems.
        remedy: The command that installs it.
        elsewhere: Directories to look in besides those of `PATH`, with colons between them.

    Returns:
        Its path.

    Raises:
        SkipTest: There is none.
        FailTest: There is none, and this is CI.
    """
    names = [names] if isinstance(names, str) else names
    for name in names:
        if found := shutil.which(name) or shutil.which(name, path=elsewhere):
            return found
    raise refusal(f"{names[0]} is not installed: {remedy}")

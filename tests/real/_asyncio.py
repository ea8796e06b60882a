"""Cases that need asyncio's reactor: they run in a process of their own.

What belongs here: starting it. What does not: the cases.
"""

import sys
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from .._servers import REPOSITORY


async def run_under_asyncio(test: TestCase, module: str) -> str:
    """Run a module of tests under asyncio's reactor.

    Returns:
        The report, once all tests have passed; otherwise it fails the test.
    """
    arguments = ["-m", "twisted.trial", "--reactor=asyncio", "--reporter=text"]
    arguments.append(f"--temp-directory={Path(test.mktemp()).absolute()}")
    output, errors, status = await getProcessOutputAndValue(
        sys.executable, [*arguments, module], env=None, path=str(REPOSITORY)
    )
    report: str = (output + errors).decode()
    test.assertEqual(status, 0, report)
    return report

"""A process that inherits the orphans of its children, as the first process of a container does.

What belongs here: asking the kernel for that. What does not: tests.
"""

import ctypes

from twisted.trial.unittest import SkipTest

PR_SET_CHILD_SUBREAPER = 36


def inherit_orphans(yes: bool) -> None:
    """Have this process inherit orphans from now on, or no longer; see prctl(2)."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0) != 0:
        raise SkipTest("needs Linux")

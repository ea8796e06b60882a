"""How much code of cancelweb is run, counted instead of timed.

What belongs here: counting, and what a count says about growth. What does not: what is counted.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

import cancelweb

PACKAGE = str(Path(cancelweb.__file__).parent)

KIT = str(Path(PACKAGE, "testing"))
"""The test kit, by which these tests ask. What it does is of no interest here."""

FEW = 20
"""The number with which each count begins; twice and three times as many follow."""

Prepare = Callable[[int], Callable[[], object]]
"""Makes this many of something, and returns the action on them that is counted."""


@define(eq=False)
class Steps:
    """How many instructions of Python code in cancelweb, without the test kit, were executed.

    The number is the same on every run, whatever else the machine does. What a function in C does
    with a whole list or dict counts as one.
    """

    number: int = 0

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        """See `sys.settrace`."""
        file = frame.f_code.co_filename
        if not file.startswith(PACKAGE) or file.startswith(KIT):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.number += event == "opcode"
        return self.trace


@contextmanager
def counting() -> Iterator[Steps]:
    """Count the steps inside the block, in which the garbage collector is off."""
    steps, former, was_enabled = Steps(), sys.gettrace(), gc.isenabled()
    gc.disable()
    sys.settrace(steps.trace)
    try:
        yield steps
    finally:
        sys.settrace(former)
        if was_enabled:
            gc.enable()


def assert_linear(test: SynchronousTestCase, prepare: Prepare, what: str = "") -> None:
    """Insist that the third twenty of something cost no more than the second.

    The first twenty do not count, because they include what is done once. In linear code the other
    two cost the same. Where each looks at all others, the third cost a tenth to a half more.
    """
    counts = []
    for number in (FEW, 2 * FEW, 3 * FEW):
        act = prepare(number)
        with counting() as steps:
            act()
        counts.append(steps.number)
    first, second, third = counts
    test.assertGreater(second, first, "nothing was counted")
    test.assertLess((third - second) / (second - first), 1.02, f"{what} {counts}")

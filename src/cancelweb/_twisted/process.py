"""Read the private names of Twisted and Python that show how a process ends, and its threads.

One function for each, as in `access`.
"""

from __future__ import annotations

import os
import sys
from signal import SIGTERM
from types import FrameType
from typing import Any, NoReturn


def exit_signal_of(reactor: Any) -> int:
    """The number of the signal that asked a reactor to stop; SIGTERM if none did."""
    return getattr(reactor, "_exitSignal", None) or SIGTERM


def frames_of_threads() -> dict[int, FrameType]:
    """The innermost frame of each thread, by the thread's ``ident``."""
    return sys._current_frames()


def exit_at_once(status: int) -> NoReturn:
    """End the process without any cleanup of Python's."""
    os._exit(status)

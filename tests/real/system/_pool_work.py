"""Functions that the children of a pool call, and what they pass around.

What belongs here: what a child imports, so nothing but the standard library. What does not: tests.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEPT: list[object] = []
"""What a function keeps until the next call in the same child."""


def add(*numbers: int, to: int = 0) -> int:
    """Return a result."""
    return sum(numbers, to)


def pid() -> int:
    """Tell the child."""
    return os.getpid()


def echo(data: Any) -> Any:
    """Return the argument."""
    return data


def fail(text: str) -> None:
    """Raise what `int` raises."""
    int(text)


def fail_because(text: str) -> None:
    """Raise an exception with a cause."""
    try:
        int(text)
    except ValueError as error:
        raise LookupError(text) from error


class Odd(Exception):
    """An exception that can be pickled, but not be made from its pickle."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__("odd")


def fail_oddly() -> None:
    """Raise what cannot be passed on."""
    raise Odd(1, 2)


def leave(status: int) -> None:
    """Raise SystemExit."""
    sys.exit(status)


def a_function() -> Callable[[], None]:
    """Return what cannot be pickled."""
    return lambda: None


def _nothing_more() -> None:
    raise ValueError("this is loaded only where it was not made")


class HereOnly:
    """What can be made from its pickle only in the process with this id."""

    def __init__(self, process: int) -> None:
        if os.getpid() != process:
            raise ValueError("elsewhere")
        self.process = process

    def __reduce__(self) -> Any:
        return HereOnly, (self.process,)


class HereOnlyError(Exception):
    """An exception that can be made only in the process with this id."""

    def __init__(self, process: int) -> None:
        if os.getpid() != process:
            raise ValueError("elsewhere")
        super().__init__(process)


class TextError(Exception):
    """An exception whose pickle is that of a text."""

    def __reduce__(self) -> Any:
        return str, ("no exception",)


def fail_as_text() -> None:
    """Raise what arrives as something else."""
    raise TextError("as text")


class FrozenError(Exception):
    """An exception without attributes that could be set."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} cannot be set")


def fail_frozen() -> None:
    """Raise it."""
    raise FrozenError("frozen")


class ExitsElsewhere(HereOnly):
    """What ends a process that loads it, unless it has this id."""

    def __init__(self, process: int) -> None:
        if os.getpid() != process:
            sys.exit("elsewhere")
        self.process = process

    def __reduce__(self) -> Any:
        return ExitsElsewhere, (self.process,)


def exits_elsewhere() -> ExitsElsewhere:
    """Return what the server must not load."""
    return ExitsElsewhere(os.getpid())


def return_twice(path: str) -> int:
    """Fork, and return in both processes, in the fork when a file exists."""
    process = os.fork()
    if process == 0:
        os.close(2)
        wait_for(path)
    return process


def outlast(process: int, path: str) -> str:
    """Have a fork return, wait for its end, and return."""
    Path(path).touch()
    os.waitpid(process, 0)
    return "own"


def here_only() -> HereOnly:
    """Return what the server cannot load."""
    return HereOnly(os.getpid())


def fail_here_only() -> None:
    """Raise what the server cannot load."""
    raise HereOnlyError(os.getpid())


def die(status: int) -> None:
    """End the child without a word."""
    os._exit(status)


def die_of(number: int) -> None:
    """End the child by a signal."""
    os.kill(os.getpid(), number)
    time.sleep(60)


def hang_up() -> None:
    """Close all connections of the child, and go on."""
    os.closerange(3, 100)
    time.sleep(60)


def write(path: str, text: str) -> None:
    """Add a line to a file."""
    with open(path, "a") as file:
        file.write(f"{text}\n")


def spin(path: str) -> None:
    """Compute for a minute, once a file tells that this has begun."""
    write(path, str(os.getpid()))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass


def match(path: str) -> None:
    """Compute for years, and let no other thread of the child run."""
    write(path, str(os.getpid()))
    re.match(r"(a+)+$", "a" * 60 + "b")


def cleans_up(path: str) -> None:
    """Clean up after TERM."""

    def stop(*_: object) -> None:
        time.sleep(0.1)
        write(path, "cleaned")
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    spin(path)


def is_stubborn(path: str) -> None:
    """Ignore TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    spin(path)


def run(args: list[str]) -> int:
    """Run a program, and wait for it."""
    return subprocess.run(args).returncode


def begin(args: list[str], then: int | None = None) -> None:
    """Run a program in the background, and then end the child, if told to."""
    KEPT.append(subprocess.Popen(args))
    if then is not None:
        os._exit(then)


def surroundings() -> dict[str, Any]:
    """What the child has inherited."""
    return {
        "session": os.getsid(0),
        "handlers": [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGCHLD)],
        "wakeup": signal.set_wakeup_fd(-1),
        "blocked": [str(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "files": {each: _linked(each) for each in os.listdir("/proc/self/fd")},
        "stdin": sys.stdin.read(),
        "modules": sorted(sys.modules),
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "path": sys.path,
        "arguments": sys.argv,
    }


def _linked(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:
        # The descriptor with which the directory was read.
        return ""


def wait_for(path: str, told: str = os.devnull) -> int:
    """Wait until a file exists, and tell another one that this has begun."""
    write(told, str(os.getpid()))
    while not Path(path).exists():
        time.sleep(0.01)
    return os.getpid()

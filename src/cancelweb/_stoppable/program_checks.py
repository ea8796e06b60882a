"""Validation of what a child process is started with: a program, a directory, an environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from .._checks import check_instance, shown

_TEXT = (str, bytes, os.PathLike)
"""What the system takes as an argument, a path, or a part of the environment."""


def check_program(args: object) -> None:
    """Raise a TypeError unless this is a sequence of a program and its arguments."""
    if isinstance(args, str | bytes) or not isinstance(args, Sequence) or not args:
        raise TypeError(
            f"args must be a program and its arguments, such as ['sort', '-u'], not {shown(args)}; "
            "for a shell use ['sh', '-c', command]"
        )
    for each in args:
        _check_text("args", "must hold", each)


def check_surroundings(cwd: object, env: object) -> None:
    """Raise a TypeError unless these are a working directory and an environment, or None."""
    if cwd is not None:
        _check_text("cwd", "must be", cwd)
    if env is not None:
        check_instance("env", env, Mapping, "a mapping of str to str")
        assert isinstance(env, Mapping)
        for each in (*env, *env.values()):
            _check_text("env", "must hold", each)


def _check_text(name: str, must: str, value: object) -> None:
    if not isinstance(value, _TEXT):
        raise TypeError(f"{name} {must} str, bytes or a path, not {shown(value)}")

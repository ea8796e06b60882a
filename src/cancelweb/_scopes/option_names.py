"""Error messages for options that an entry point does not have.

The values of options are checked in `checks`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

OF_WRAPPER = ("methods", "monitor", "dry_run")
"""The options that `CancellingResource` has and `cancel_on_disconnect` has not."""


def takes_options(entry_point: Callable[P, R]) -> Callable[P, R]:
    """Decorate an entry point so that the error for an unknown option names the right one."""
    parameters = inspect.signature(entry_point).parameters
    options = [name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY]
    most, called = len(parameters) - len(options), entry_point.__qualname__.partition(".")[0]

    @wraps(entry_point)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for option in kwargs:
            if option not in parameters:
                raise TypeError(f"{called} has no option {option!r}. {_instead(option, options)}")
        if len(args) > most:
            raise TypeError(f"{called} takes its options by name, as in timeout=30.")
        return entry_point(*args, **kwargs)

    return call


def _instead(option: str, options: Collection[str]) -> str:
    if option in OF_WRAPPER:
        return "Only CancellingResource has it."
    # Imported here, because hardly any program needs it.
    from difflib import get_close_matches

    close = get_close_matches(option, options, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Its options are {', '.join(options)}."

"""Looking whether this Twisted has the names that cancelweb uses, and warning of those it has not.

The same for asyncio. No module is imported here for the sake of looking.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from dis import get_instructions
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from platform import python_version
from types import CodeType, FunctionType
from typing import Any

from .._log import log
from .names import NEEDED
from .needed import NONE


@cache
def check(use: str) -> bool:
    """Warn of each name that this Twisted does not have, once; called where the use is imported.

    A module that is not there because nothing has imported it is not looked into.

    Returns:
        Whether all names that this use needs are there.
    """
    missing = [(row, name) for row in NEEDED if row.use == use for name in row.names]
    missing = [(row, name) for row, name in missing if is_missing(name)]
    for row, name in missing:
        _warn(_warning(name, row.without))
        owner, attribute = _owner_of(name)
        if owner is not None and row.stand_in is not NONE:
            setattr(owner, attribute, row.stand_in)
    return not missing


def _warn(text: str) -> None:
    try:
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    except RuntimeWarning:
        # Warnings are errors here. To import cancelweb is none.
        log.warn("{text}", text=text)


def _version(package: str) -> str:
    if package in sys.stdlib_module_names:
        return f"of Python {python_version()}"
    try:
        return version(package)
    except PackageNotFoundError:
        # As in an application that was frozen.
        return str(getattr(sys.modules.get(package), "__version__", "of an unknown version"))


def _warning(name: str, without: str) -> str:
    package = name.partition(".")[0]
    dotted = name.replace(":", ".")
    return (
        f"{package} {_version(package)} has no {dotted}, a name that cancelweb uses although it is "
        f"not documented. Without it, {without}. Upgrade cancelweb; if this is the newest, please "
        "report it."
    )


def is_missing(name: str) -> bool:
    """Whether a name of a module that is in use, or should be there, is not."""
    module = name.partition(":")[0]
    if module not in sys.modules:
        # h2 may not be installed; without it, Twisted does not import its own part for it.
        return module.startswith("twisted.") and find_spec(module) is None
    owner, attribute = _owner_of(name)
    return owner is None or not any(_has(owner, each) for each in attribute.split("|"))


def _owner_of(name: str) -> tuple[Any, str]:
    """The class or module that has the attribute, None where it is missing too; and the latter."""
    module, _, path = name.partition(":")
    kind, _, attribute = path.rpartition(".")
    found = sys.modules.get(module)
    return (getattr(found, kind, None) if kind else found), attribute


def _has(owner: object, attribute: str) -> bool:
    if isinstance(owner, FunctionType):
        # One of its variables, which functions inside it use.
        return attribute in owner.__code__.co_cellvars
    return hasattr(owner, attribute) or any(_sets(code, attribute) for code in _codes(owner))


def _codes(owner: object) -> Iterator[CodeType]:
    """The code of the methods of a class."""
    for kind in getattr(owner, "__mro__", ()):
        for each in vars(kind).values():
            if isinstance(each, FunctionType):
                yield each.__code__


def _sets(code: CodeType, attribute: str) -> bool:
    # The names of a code are those of globals and modules, too; few functions need the long look.
    return attribute in code.co_names and any(
        each.opname == "STORE_ATTR" and each.argval == attribute for each in get_instructions(code)
    )

"""Check that Twisted and asyncio have the private names that cancelweb uses; warn if they lack one.

No module is imported here only to be checked.
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
    """Warn once of each name of this use that is missing. Call it where the use is imported.

    Modules that nothing has imported are not checked, unless they should exist and do not.

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
        # Warnings are errors here, but importing cancelweb must not fail.
        log.warn("{text}", text=text)


def _version(package: str) -> str:
    if package in sys.stdlib_module_names:
        return f"of Python {python_version()}"
    try:
        return version(package)
    except PackageNotFoundError:
        # A frozen application may have no metadata of its packages.
        return str(getattr(sys.modules.get(package), "__version__", "of an unknown version"))


def _warning(name: str, without: str) -> str:
    package = name.partition(".")[0]
    dotted = name.replace(":", ".")
    return (
        f"{package} {_version(package)} has no {dotted}, an undocumented name that cancelweb uses. "
        f"Without it, {without}. Upgrade cancelweb; if you have the newest version, please report "
        "this."
    )


def is_missing(name: str) -> bool:
    """Whether a name is missing from a module that is in use, or should exist."""
    module = name.partition(":")[0]
    if module not in sys.modules:
        # Twisted does not import its HTTP/2 module without h2. That module is there all the same.
        return module.startswith("twisted.") and find_spec(module) is None
    owner, attribute = _owner_of(name)
    return owner is None or not any(_has(owner, each) for each in attribute.split("|"))


def _owner_of(name: str) -> tuple[Any, str]:
    """The class or module that has the attribute, or None if missing; and the attribute's name."""
    module, _, path = name.partition(":")
    kind, _, attribute = path.rpartition(".")
    found = sys.modules.get(module)
    return (getattr(found, kind, None) if kind else found), attribute


def _has(owner: object, attribute: str) -> bool:
    if isinstance(owner, FunctionType):
        # The name is a variable of this function, used by functions inside it.
        return attribute in owner.__code__.co_cellvars
    return hasattr(owner, attribute) or any(_sets(code, attribute) for code in _codes(owner))


def _codes(owner: object) -> Iterator[CodeType]:
    """The code of the methods of a class, inherited ones included."""
    for kind in getattr(owner, "__mro__", ()):
        for each in vars(kind).values():
            if isinstance(each, FunctionType):
                yield each.__code__


def _sets(code: CodeType, attribute: str) -> bool:
    # co_names also has globals and modules. Only functions that pass this test need the slow look.
    return attribute in code.co_names and any(
        each.opname == "STORE_ATTR" and each.argval == attribute for each in get_instructions(code)
    )

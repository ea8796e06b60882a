"""Classes whose instances are frozen: the check of those that would set attributes all the same.

What the attributes are is for `causes`.
"""

from __future__ import annotations

from dis import get_instructions
from types import FunctionType

_INITIALISERS = ("__init__", "__attrs_post_init__")


def check_initialisers(cls: type, frozen: object) -> None:
    """Raise a TypeError if what initialises instances sets attributes, for that fails.

    Args:
        cls: the class; what it inherits was checked before.
        frozen: the ``__setattr__`` of frozen instances. A class that has another is left alone.
    """
    if cls.__setattr__ is not frozen:
        return
    for name in _INITIALISERS:
        if attribute := _attribute_set_by(vars(cls).get(name)):
            raise TypeError(
                f"{cls.__name__}.{name} sets {attribute}, but causes are frozen: make the class "
                f"one of attrs, with @attrs.frozen, and {attribute} a field of it"
            )


def _attribute_set_by(function: object) -> str | None:
    if not isinstance(function, FunctionType):
        return None
    # In the code, so that the class fails where it is written, and not the first request.
    instructions = get_instructions(function)
    return next((each.argval for each in instructions if each.opname == "STORE_ATTR"), None)

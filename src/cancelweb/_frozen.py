"""Classes whose instances are frozen: the check of those that would set attributes all the same.

What the attributes are is for `causes`.
"""

from __future__ import annotations

from dis import Instruction, get_instructions
from itertools import pairwise
from types import FunctionType

_INITIALISERS = ("__init__", "__attrs_post_init__")


def check_initialisers(cls: type, frozen: object) -> None:
    """Raise a TypeError if what initialises instances sets attributes of theirs, for that fails.

    What it calls in turn may do so as well, or ``self.n += 1``, or what is written when the class
    is there; these fail on the first instance.

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
    instance = next(iter(function.__code__.co_varnames), None)
    for before, each in pairwise(get_instructions(function)):
        if each.opname == "STORE_ATTR" and _is_load_of(instance, before):
            return str(each.argval)
    return None


def _is_load_of(variable: str | None, instruction: Instruction) -> bool:
    """Whether this puts a local variable on top; from Python 3.13 on, maybe with another below."""
    loaded: object = instruction.argval
    if "LOAD_FAST" in instruction.opname:
        return variable == (loaded[-1] if isinstance(loaded, tuple) else loaded)
    # So it is with one that an inner function uses, too.
    return instruction.opname == "LOAD_DEREF" and variable == loaded

"""Frozen classes: an early error for an initialiser that would set attributes on a frozen instance.

The frozen classes themselves are in `causes`.
"""

from __future__ import annotations

from dis import Instruction, get_instructions
from itertools import pairwise
from types import FunctionType

_INITIALISERS = ("__init__", "__attrs_post_init__")


def check_initialisers(cls: type, frozen: object) -> None:
    """Raise a TypeError if an initialiser of the class assigns to an attribute of ``self``.

    Only plain assignments are found. An augmented assignment, an assignment in a function that the
    initialiser calls, or an initialiser added later fails when the first instance is made.

    Args:
        cls: the class. Its base classes were checked when they were made.
        frozen: the ``__setattr__`` of frozen instances. A class with another one is not checked.
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
    # Reading the bytecode makes the class statement fail, instead of the first request.
    instance = next(iter(function.__code__.co_varnames), None)
    for before, each in pairwise(get_instructions(function)):
        if each.opname == "STORE_ATTR" and _is_load_of(instance, before):
            return str(each.argval)
    return None


def _is_load_of(variable: str | None, instruction: Instruction) -> bool:
    """Whether this instruction leaves the local variable on top of the stack."""
    # From Python 3.13 on, one instruction may load two variables; the last one ends up on top.
    loaded: object = instruction.argval
    if "LOAD_FAST" in instruction.opname:
        return variable == (loaded[-1] if isinstance(loaded, tuple) else loaded)
    # A variable that an inner function uses, too, lives in a cell.
    return instruction.opname == "LOAD_DEREF" and variable == loaded

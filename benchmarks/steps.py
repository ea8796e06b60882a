"""The steps from the floor to cancelweb, and how many bytecodes cancelweb's functions run.

The floor is what any code pays that handles a disconnect: `notifyFinish` and one callback. A
handler that returns bytes needs neither, so its floor is Twisted alone.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any

from cases import Case, wrapped_bytes, wrapped_deferred
from contenders import Contender
from handlers import (
    BareCall,
    BareDeferred,
    CallByHand,
    DecoratedBytes,
    DecoratedCall,
    DecoratedDeferred,
    DeferredByHand,
    DeferredWithDeadline,
    DeferredWithHook,
    NotifiedCall,
    NotifiedDeferred,
    PlainBytes,
    Stage,
    UnobservedDeferred,
)
from measure import Runner
from skeleton import GuardingCall, GuardingWork, SkeletonBytes, SkeletonCall, SkeletonWork

FLOOR = "the floor"

_call, _work = Stage.end_call, Stage.end_work

STEPS = {
    "deferred": (
        Case("Twisted alone", FLOOR, BareDeferred, NotifiedDeferred, _work),
        Case(
            "the floor: `notifyFinish`, one callback",
            FLOOR,
            NotifiedDeferred,
            NotifiedDeferred,
            _work,
        ),
        Case("a careful handler", FLOOR, DeferredByHand, NotifiedDeferred, _work),
        Case("a skeleton", FLOOR, SkeletonWork, NotifiedDeferred, _work),
        Case("a skeleton that keeps three promises", FLOOR, GuardingWork, NotifiedDeferred, _work),
        Case("decorated", FLOOR, DecoratedDeferred, NotifiedDeferred, _work),
        Case("decorated, with a hook", FLOOR, DeferredWithHook, NotifiedDeferred, _work),
        Case("decorated, with a deadline", FLOOR, DeferredWithDeadline, NotifiedDeferred, _work),
        Case("wrapped", FLOOR, wrapped_deferred, NotifiedDeferred, _work),
    ),
    "call": (
        Case("Twisted alone", FLOOR, BareCall, NotifiedCall, _call),
        Case("the floor: `notifyFinish`, one callback", FLOOR, NotifiedCall, NotifiedCall, _call),
        Case("the tutorial's recipe", FLOOR, CallByHand, NotifiedCall, _call),
        Case("a skeleton", FLOOR, SkeletonCall, NotifiedCall, _call),
        Case("a skeleton that keeps three promises", FLOOR, GuardingCall, NotifiedCall, _call),
        Case("decorated", FLOOR, DecoratedCall, NotifiedCall, _call),
    ),
    "bytes": (
        Case("the floor: Twisted alone", FLOOR, PlainBytes, PlainBytes, None),
        Case("a skeleton", FLOOR, SkeletonBytes, PlainBytes, None),
        Case("decorated", FLOOR, DecoratedBytes, PlainBytes, None),
        Case("wrapped", FLOOR, wrapped_bytes, PlainBytes, None),
    ),
    "abandoned": (
        Case(
            "the floor: `notifyFinish`, one callback",
            FLOOR,
            NotifiedDeferred,
            NotifiedDeferred,
            _work,
            is_abandoned=True,
        ),
        Case("a careful handler", FLOOR, DeferredByHand, NotifiedDeferred, _work, True),
        Case("a skeleton", FLOOR, SkeletonWork, NotifiedDeferred, _work, True),
        Case("decorated", FLOOR, UnobservedDeferred, NotifiedDeferred, _work, True),
        Case("decorated, logged", FLOOR, DecoratedDeferred, NotifiedDeferred, _work, True),
    ),
}
"""Each compared with the floor, by what the handler returns; in the last, the client leaves."""

PACKAGE = "cancelweb"


def bytecodes(contender: Contender, is_abandoned: bool) -> dict[CodeType, list[int]]:
    """The calls and the bytecodes of each function of cancelweb in one request, in order."""
    runner = Runner(contender, is_abandoned)
    runner.run(2)
    send = runner.prepare(1)
    seen: dict[CodeType, list[int]] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_globals["__name__"].partition(".")[0] != PACKAGE:
            return None
        of_function = seen.setdefault(frame.f_code, [0, 0])
        if event == "call":
            of_function[0] += 1
            frame.f_trace_opcodes = True
        elif event == "opcode":
            of_function[1] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        send()
    finally:
        sys.settrace(before)
    return seen

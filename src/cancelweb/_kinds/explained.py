"""Complete the error messages of asyncio: what is wrong, and what to write under Twisted.

asyncio says only what it lacks, such as "no running event loop". Other errors keep their messages.
"""

from __future__ import annotations

import asyncio
import re

from twisted.python import threadpool
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str

from .cancellers import global_reactor
from .places import frames_of, place_in

_NO_LOOP = (
    "no running event loop"
    # The message of an asyncio.Lock, Event or Queue that has to wait.
    "|'NoneType' object has no attribute 'create_future'"
)
_NO_TASK = (
    "await wasn't used with future"
    "|Timeout should be used inside a task"
    "|TaskGroup .* cannot determine the parent task"
)
_AWAITS_DEFERRED = r"Task got bad yield: <\w*Deferred\w* at 0x.*>"


def explain(failure: Failure) -> None:
    """Complete the message of an error if asyncio raised it; a second call changes nothing."""
    error = failure.value
    if isinstance(error, RuntimeError | AttributeError):
        # The ``__str__`` of a user's exception may raise.
        text = safe_str(error)
        advice = _advice(failure, text)
        if advice is not None:
            error.args = (f"{text}: {advice}",)


def _advice(failure: Failure, text: str) -> str | None:
    if re.fullmatch(_AWAITS_DEFERRED, text):
        return (
            f"{place_in(failure)} awaits a Deferred in an asyncio task. Write "
            "`await deferred.asFuture(asyncio.get_running_loop())`."
        )
    if re.fullmatch(f"{_NO_LOOP}|{_NO_TASK}", text) is None:
        return None
    if any(frame.f_code.co_filename == threadpool.__file__ for frame, _ in frames_of(failure)):
        return (
            f"{place_in(failure)} uses asyncio in a thread, which has no event loop. Write "
            "`asyncio.run(part())` there, or move this part out of the thread."
        )
    return _no_task(failure) if _is_loop_running() else _no_loop(failure)


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _no_loop(failure: Failure) -> str:
    return (
        f"{place_in(failure)} uses asyncio, but this server runs on Twisted's "
        f"{type(global_reactor()).__name__}. Use Twisted's own functions, such as "
        "`deferLater(reactor, 1)` instead of `asyncio.sleep(1)`. Or start the server with "
        "`twist --reactor=asyncio`, and run this part as an asyncio task."
    )


def _no_task(failure: Failure) -> str:
    return (
        f"{place_in(failure)} uses asyncio outside a task, because Twisted runs this coroutine. "
        "Move this part into a coroutine function, and write "
        "`await Deferred.fromFuture(asyncio.ensure_future(part()))`."
    )

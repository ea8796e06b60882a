"""What keeps a process from ending: requests, work, threads, child processes; and where each is.

Only reads. `exiting` calls it in a thread of its own, while the reactor's thread may be stuck.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.python.context import ContextTracker

from .._kinds.where import frames, function_at, function_name, line_of
from .._log import printable
from .._scopes.record import path_of
from .._scopes.scope import Scope
from .._still_running import LetGo, Survivor
from .._stoppable.thread_calls import ThreadCall
from .._twisted.process import frames_of_threads
from .in_flight import InFlight
from .quiet import connections_of
from .waiting import running_hook, where_it_waits

CALLERS = 2
"""How many callers of a thread's innermost function are named."""

PEERS = 5
"""How many clients of open connections are named."""

_WAITS = frozenset(("queue", "selectors", "threading"))
"""The modules in which a thread waits, for another that calls them."""

_IDLE = frozenset(
    (
        "asyncio.base_events",
        "concurrent.futures.thread",
        "twisted._threads._threadworker",
        *(f"twisted.internet.{kind}reactor" for kind in ("epoll", "kq", "poll", "select")),
    )
)
"""The modules in which a thread waits for something to do: those of reactors and pools."""

_PLUMBING = ("asyncio.", "cancelweb.", "concurrent.", "runpy", "threading", "twisted.")
"""How the names of modules begin that call the functions of others in threads."""

_CALLED = {ThreadCall.run.__code__: "function", ContextTracker.callWithContext.__code__: "func"}
"""Where both ways to call a function in a thread keep it. One without frames is named by it."""


@frozen
class Holder:
    """Something that keeps a process from ending.

    Attributes:
        what: its name, such as ``thread 12 (PoolThread-0)``.
        where: its place, such as ``file.py:12 in function``.
    """

    what: str
    where: str


def holders_of(in_flight: InFlight, reactor: IReactorTime) -> Iterator[Holder]:
    """What keeps the process from ending: threads first, as nothing else can stop them."""
    yield from _threads()
    yield from _requests(in_flight)
    yield from _children()
    yield from _connections(reactor)


def _requests(in_flight: InFlight) -> Iterator[Holder]:
    for scope in list(in_flight.scopes):
        yield Holder(_name_of(scope), where_it_waits(scope) or "nothing that cancelweb knows")
    works: list[Survivor | LetGo] = [*in_flight.survivors, *in_flight.let_go.all]
    for work in works:
        kind = "a survivor" if isinstance(work, Survivor) else "work that was let go"
        name = f"{kind} of {printable(work.method)} {printable(work.path)}"
        yield Holder(name, work.where.rpartition("\n")[2])
    for key, detached in list(in_flight.detached.items()):
        what = f"{detached.describe()}, detached at {in_flight.detached_at.get(key)}"
        yield Holder(what, detached.where().rpartition("\n")[2])


def _name_of(scope: Scope) -> str:
    request, running = scope.request, running_hook(scope)
    if request is None:
        return repr(scope)
    name = f"{printable(request.method)} {printable(path_of(request))}"
    # A hook may return a Deferred, which has no place.
    return name if running is None else f"{name} in its hook {function_at(running[0])}"


def _children() -> Iterator[Holder]:
    """The child processes, where the system shows them: Linux does."""
    for listed in Path("/proc/self/task").glob("*/children"):
        for pid in _read(listed).split():
            args = _read(Path("/proc", pid.decode(), "cmdline")).rstrip(b"\0").split(b"\0")
            # A child that has ended, and was not collected yet, has none.
            if args != [b""]:
                yield Holder(f"process {pid.decode()}", printable(b" ".join(args)))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        # The thread or the process has just ended.
        return b""


def _connections(reactor: IReactorTime) -> Iterator[Holder]:
    connections = connections_of(reactor)
    if connections:
        peers = [_address_of(each.getPeer()) for each in connections[:PEERS]]
        yield Holder(f"open connections ({len(connections)})", ", ".join(peers))


def _address_of(peer: IAddress) -> str:
    if isinstance(peer, IPv4Address | IPv6Address):
        return f"{peer.host} port {peer.port}"
    return str(peer)


# --- threads ---


def _threads() -> Iterator[Holder]:
    innermost = frames_of_threads()
    for thread in threading.enumerate():
        frame = innermost.get(thread.ident or 0)
        # The interpreter ends without waiting for its daemons.
        place = None if thread.daemon or frame is None else place_in(frame)
        if place is not None:
            yield Holder(f"thread {thread.native_id} ({thread.name})", place)


def place_in(frame: FrameType) -> str | None:
    """Where a thread is, with its callers; None if it waits for something to do."""
    stack = list(frames(frame))
    while stack and _module_of(stack[0]) in _WAITS:
        del stack[0]
    if not stack or _module_of(stack[0]) in _IDLE:
        return None
    innermost, *callers = stack
    told = [each for each in callers if not _module_of(each).startswith(_PLUMBING)][:CALLERS]
    called = innermost.f_locals.get(_CALLED.get(innermost.f_code, ""))
    names = [] if called is None else [function_name(called)]
    return ", called at ".join([*names, *(line_of(each) for each in (innermost, *told))])


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))

"""Run child processes that end with their whole process group (subprocess, deferToProcess).

Programs, with the output to read, and Python functions. `_stoppable.children` has the child that
runs a program, `_stoppable.pool` those that call functions. For POSIX systems.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorProcess

from ._checks import check_flag, check_instance, check_seconds
from ._kinds.where import place
from ._stoppable.children import Child, Completed
from ._stoppable.leaders import Argument
from ._stoppable.pool import Pool
from ._stoppable.program_checks import check_program, check_surroundings
from ._stoppable.reactors import check_reactor, in_reactor_thread, reactor_for
from ._stoppable.workers import ChildDied

__all__ = ["ChildDied", "Output", "Pool", "defer_to_process", "run", "stream"]

P = ParamSpec("P")
R = TypeVar("R")

_STREAM_ERRORS = 2**16
"""How many bytes to keep from the end of a streamed child's standard error."""

_pools: WeakKeyDictionary[IReactorFDSet, Pool] = WeakKeyDictionary()
"""The pool of each reactor for `defer_to_process`."""


def defer_to_process(f: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
    """Call a function in a child process of the reactor's pool.

    The pool has one child for each processor. The reactor is that of the current scope if it
    watches file descriptors, or else the global one.

    Args:
        f: the function; see `Pool.call`.
        *args: positional arguments for ``f``.
        **kwargs: keyword arguments for ``f``.

    Returns:
        A Deferred, as `Pool.call` returns it.

    Raises:
        TypeError: ``f`` cannot be called, or it or an argument cannot be pickled.
    """
    reactor = reactor_for(None, IReactorFDSet)
    pool = _pools.get(reactor)
    if pool is None:
        pool = _pools[reactor] = Pool(reactor=reactor)
    return pool.call(f, *args, **kwargs)


def run(
    args: Sequence[Argument],
    *,
    stdin: bytes = b"",
    cwd: Argument | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    grace: float = 3.0,
    wait_delay: float | None = 3.0,
    reactor: IReactorProcess | None = None,
) -> Deferred[Completed]:
    """Run a program and collect its output.

    The child leads a session and process group of its own. When the Deferred is cancelled, the
    whole group gets TERM, then KILL if any of it is left after ``grace`` seconds. If the child ends
    by itself, the rest of its group is stopped in the same way, once all output has been read. A
    process that has started a session or a group of its own, as a daemon does, is out of reach. If
    another process holds the output open, it is read for at most ``wait_delay`` seconds after the
    exit of the child itself, and then closed.

    Args:
        args: the program, looked up in ``PATH``, and its arguments. For a shell pipeline use
            ``["sh", "-c", pipeline]``.
        stdin: the bytes that it can read from its standard input.
        cwd: its working directory; by default that of this process.
        env: its environment; by default that of this process.
        check: whether an exit status other than 0 is an error.
        grace: seconds between TERM and KILL, 0 or more.
        wait_delay: seconds for which the output is still read after the program itself has exited,
            0 or more, if another process holds it open. Time in which the reader of a stream is too
            slow does not count. None for no limit.
        reactor: the reactor that runs the child; by default the scope's, or else the running one.

    Returns:
        A Deferred that fires once no process of the group runs. It fires with a
        ``subprocess.CompletedProcess``: the output, the error output and the exit status, which is
        negative if a signal ended the child. It fails with ``CancelledError`` if it was cancelled,
        and with ``subprocess.CalledProcessError`` for an exit status that ``check`` makes an error.
        It fails with ``OSError`` if the program could not be started, and with ``RuntimeError`` if
        the child has no group of its own. In a cancelled scope it fails with
        `cancelweb.StartRefused`, except during cleanup: see `cancelweb.cleaning`.

    Raises:
        TypeError: an argument has a wrong type; the message says which one, and what to pass.
        ValueError: ``grace`` or ``wait_delay`` is negative or not finite.
    """
    check_flag("check", check)
    child = _child(args, stdin, cwd, env, grace, wait_delay, reactor, sys.maxsize)
    return place(Deferred.fromCoroutine(_collect(child, check)), child.place)


async def _collect(child: Child, check: bool) -> Completed:
    out = b"".join([chunk async for chunk in Output(child, False)])
    completed = child.completed(out)
    if check:
        completed.check_returncode()
    return completed


def stream(
    args: Sequence[Argument],
    *,
    stdin: bytes = b"",
    cwd: Argument | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    grace: float = 3.0,
    wait_delay: float | None = 3.0,
    reactor: IReactorProcess | None = None,
) -> Output:
    """Run a program and read its output as it arrives.

    A handler may return the iterator. The client then gets the output as fast as it reads, and the
    child waits for a slow client. The child is started when the first chunk is asked for. It is
    stopped, as by `run`, when the iterator is cancelled, closed or dropped.

    Args:
        args: see `run`, which takes the same arguments.
        stdin: see `run`.
        cwd: see `run`.
        env: see `run`.
        check: whether an exit status other than 0 is an error. If so, after all output, the
            iterator raises ``subprocess.CalledProcessError`` with the last 64 KiB of the error
            output.
        grace: see `run`.
        wait_delay: see `run`.
        reactor: see `run`.

    Returns:
        An async iterator of bytes.

    Raises:
        TypeError: an argument has a wrong type; the message says which one, and what to pass.
        ValueError: ``grace`` or ``wait_delay`` is negative or not finite.
    """
    check_flag("check", check)
    return Output(_child(args, stdin, cwd, env, grace, wait_delay, reactor, _STREAM_ERRORS), check)


def _child(
    args: Sequence[Argument],
    stdin: bytes,
    cwd: Argument | None,
    env: Mapping[str, str] | None,
    grace: float,
    wait_delay: float | None,
    reactor: IReactorProcess | None,
    keep: int,
) -> Child:
    check_program(args)
    check_instance("stdin", stdin, bytes, "bytes")
    check_surroundings(cwd, env)
    check_seconds("grace", grace)
    if wait_delay is not None:
        check_seconds("wait_delay", wait_delay, "; None for no limit")
    check_reactor(reactor, IReactorProcess)
    reactor = reactor_for(reactor, IReactorProcess)
    return Child(reactor, list(args), cwd, env, stdin, grace, wait_delay, keep)


class Output(AsyncIterator[bytes]):
    """The output of a child, chunk by chunk; `stream` returns it.

    It ends once no process of the child's group runs.
    """

    # Not an async generator: outside asyncio, nothing closes one that is dropped. Only the code
    # that reads refers to this object, so that ``__del__`` runs as soon as it is dropped.

    def __init__(self, child: Child, check: bool) -> None:
        self._child, self._check = child, check
        self._is_open = True
        place(self, child.place)

    async def __anext__(self) -> bytes:
        child = self._child
        if not self._is_open:
            raise StopAsyncIteration
        try:
            chunk = await child.read()
            if chunk:
                return chunk
            await child.when_gone()
        except CancelledError:
            await self.aclose()
            raise
        was_open, self._is_open = self._is_open, False
        if was_open and self._check:
            child.completed(None).check_returncode()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop the child, and wait until its group is gone. May be called again.

        If this wait is cancelled, it still lasts until the group is gone, and then raises
        ``CancelledError``.
        """
        self._is_open = False
        if self._child.is_started:
            self._child.stop()
            await self._child.when_gone()

    def __del__(self) -> None:
        if self._child.is_started:
            in_reactor_thread(self._child.reactor, self._child.stop)

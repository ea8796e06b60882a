"""A pool of child processes that make calls: which child makes which call, and when.

`workers` has a child, `pool_calls` a call. `processes` is where users find the pool.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFDSet
from twisted.python.failure import Failure

from .._checks import check_count, check_function, check_seconds
from .._scopes.refusal import begin
from .pool_calls import Call, message_of, name_of
from .reactors import check_reactor, reactor_for
from .workers import Worker

P = ParamSpec("P")
R = TypeVar("R")


class Pool:
    """Calls functions in child processes, for computations that would block the reactor.

    Children are started when calls need them, and then kept. Each makes one call at a time; other
    calls wait in a queue, the oldest first. Each child leads a session and a process group of its
    own, and ends with this process, however that ends.

    Args:
        max_children: how many children there are at most; by default one for each processor.
        grace: seconds between TERM and KILL for a call that is given up, 0 or more.
        reactor: the reactor that watches the children; by default that of the scope that makes the
            first call, or else the running one.

    Raises:
        TypeError: an argument has a wrong type; the message says which one, and what to pass.
        ValueError: ``max_children`` is less than 1, or ``grace`` is negative or not finite.
    """

    def __init__(
        self,
        max_children: int | None = None,
        *,
        grace: float = 3.0,
        reactor: IReactorFDSet | None = None,
    ) -> None:
        if max_children is not None:
            check_count("max_children", max_children)
        check_seconds("grace", grace)
        check_reactor(reactor, IReactorFDSet)
        self._most = max_children or os.cpu_count() or 1
        self._grace = grace
        self._reactor: Any = reactor
        self._queue: OrderedDict[Call, None] = OrderedDict()
        """The calls that no child makes, the oldest first. Removing one takes no search."""
        self._workers: dict[Worker, None] = {}
        """All children, from their start until their group is gone."""
        self._free: list[Worker] = []
        self._closed: list[Deferred[None]] | None = None
        """What waits for the last child of a closed pool; None while it is open."""
        self._trigger: Any = None

    def call(self, f: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Call a function in a child process.

        The function, its arguments and what it returns or raises are pickled. The child imports the
        function by its name: it must be at the top of a module. It does not see the context
        variables and the scope of the caller.

        Args:
            f: the function.
            *args: positional arguments for ``f``, pickled at once.
            **kwargs: keyword arguments for ``f``, likewise.

        Returns:
            A Deferred that fires with what ``f`` returned or raised, in the reactor's thread. An
            exception has the child's traceback. If the Deferred is cancelled before a child has
            begun, ``f`` is never called, and it fails with CancelledError at once. If it is
            cancelled later, the child is stopped with its process group: TERM, and KILL after
            ``grace`` seconds. It fails with CancelledError when nothing of the group runs. Another
            child takes its place.

            It fails with `ChildDied` if the child ended by itself, and with ``OSError`` if none
            could be started. It fails with ``RuntimeError`` if the child could not import ``f``, or
            if what ``f`` returned or raised cannot be pickled. A closed pool fails all calls with
            ``RuntimeError``. In a cancelled scope it fails with `cancelweb.StartRefused`, except
            during cleanup: see `cancelweb.cleaning`.

        Raises:
            TypeError: ``f`` cannot be called, or it or an argument cannot be pickled.
        """
        check_function("f", f)
        message = message_of(f, args, kwargs)
        return begin("a call in a process", self._begin, name_of(f), message)

    def _begin(self, name: str, message: bytes) -> Deferred[Any]:
        if self._closed is not None:
            return fail(RuntimeError(f"{name} was not called, because the pool has been closed"))
        if self._trigger is None:
            self._reactor = reactor_for(self._reactor, IReactorFDSet)
            during = "during", "shutdown", self._kill_now
            self._trigger = self._reactor.addSystemEventTrigger(*during)
        call = Call(name, message, self._cancelled)
        deferred = call.wait()
        self._queue[call] = None
        self._go_on()
        return deferred

    def _go_on(self) -> None:
        """Have the free children make calls, and start more children if needed."""
        while self._queue and self._free:
            worker = self._free.pop()
            if worker.is_alive:
                worker.run(self._next())
        starting = sum(not each.is_ready for each in self._workers)
        while starting < len(self._queue) and len(self._workers) < self._most:
            try:
                worker = Worker(self._reactor, self._grace, self._freed, self._gone)
            except (OSError, RuntimeError) as error:
                self._next().end(Failure(error))
            else:
                self._workers[worker] = None
                starting += 1

    def _next(self) -> Call:
        return self._queue.popitem(last=False)[0]

    def _freed(self, worker: Worker) -> None:
        self._free.append(worker)
        self._go_on()

    def _gone(self, worker: Worker) -> None:
        del self._workers[worker]
        if worker in self._free:
            self._free.remove(worker)
        call = worker.call
        if not worker.is_ready and self._queue:
            # Children that cannot start must not follow each other endlessly.
            call = self._next()
        self._go_on()
        if call is not None:
            call.end(worker.failure_of(call))
        self._tell_if_closed()

    def _cancelled(self, call: Call) -> None:
        if call.stop is None:
            del self._queue[call]
            call.give_up()
        else:
            call.stop()

    # --- the end ---

    def close(self) -> Deferred[None]:
        """Stop all calls, as if they were cancelled, and end all children. May be called again.

        You need not close a pool: its children end when the reactor stops. Tests must, because
        trial expects a clean reactor.

        Returns:
            A Deferred that fires when no child runs.
        """
        waiting: Deferred[None] = Deferred()
        if self._closed is None:
            self._closed = []
            if self._trigger is not None:
                self._reactor.removeSystemEventTrigger(self._trigger)
            self._give_up_queue()
            for each in list(self._workers):
                each.stop()
        self._closed.append(waiting)
        self._tell_if_closed()
        return waiting

    def _give_up_queue(self) -> None:
        while self._queue:
            self._next().give_up()

    def _tell_if_closed(self) -> None:
        if self._closed and not self._workers:
            waiting, self._closed = self._closed, []
            for each in waiting:
                each.callback(None)

    def _kill_now(self) -> None:
        """The reactor stops, so nothing could wait for the end of a child after this."""
        self._closed = self._closed or []
        self._give_up_queue()
        workers = list(self._workers)
        for each in workers:
            each.kill_now()
        for each in workers:
            each.block_until_gone()

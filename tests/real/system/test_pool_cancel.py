"""`cancelweb.processes.Pool`: calls that are given up.

What belongs here: cancels of calls that run, wait or begin, and what becomes of the children. What
does not: children that end without a cancel (`test_pool_died`).
"""

import contextlib
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from cancelweb import Ended, Scope, Shared, StartRefused, current_scope
from cancelweb.monitor import where_it_waits
from cancelweb.processes import Pool

from .._procs import running, zombies
from . import _pool_work as work
from ._groups import reactor
from ._pools import PoolTestCase, children


class RunningTests(PoolTestCase):
    """Calls that a child makes."""

    async def spinning(self, pool: Pool, f: Any = work.spin) -> tuple[Deferred[Any], int]:
        """A call that has begun, and its child."""
        call = pool.call(f, self.path)
        return call, await self.begun()

    async def test_is_stopped(self) -> None:
        """A cancelled call's Deferred fires when its child is gone, and not before."""
        before, pool = children(), self.pool(1)
        call, child = await self.spinning(pool)
        self.assertIn(child, children())
        call.cancel()
        self.assertNoResult(call)
        await self.assertFailure(call, CancelledError)
        self.assertEqual(children(), before)
        self.assertEqual(zombies(), [])

    async def test_with_what_it_started(self) -> None:
        """The programs that a cancelled function has started are gone with it."""
        call = self.pool(1).call(work.run, self.shell(f"{self.sleeper()} | {self.sleeper()}"))
        await self.started(3)
        await self.cancelled(call)
        self.assertEqual(running(self.mark), [])

    async def test_holds_pythons_lock(self) -> None:
        """A function that lets no other thread run is stopped, too."""
        call, child = await self.spinning(self.pool(1), work.match)
        await self.cancelled(call)
        self.assertNotIn(child, children())

    async def test_cleans_up(self) -> None:
        """A function may handle TERM, and is waited for."""
        call, _ = await self.spinning(self.pool(1), work.cleans_up)
        await self.cancelled(call)
        self.assertEqual(self.told()[1:], ["cleaned"])

    async def test_is_stubborn(self) -> None:
        """A function that ignores TERM is killed after the grace period."""
        call, child = await self.spinning(self.pool(1, grace=0.1), work.is_stubborn)
        await self.cancelled(call)
        self.assertNotIn(child, children())

    async def test_cancelled_twice(self) -> None:
        """A call that is cancelled twice is still waited for."""
        call, child = await self.spinning(self.pool(1, grace=0.1), work.is_stubborn)
        call.cancel()
        await self.cancelled(call)
        self.assertNotIn(child, children())

    async def test_next_call(self) -> None:
        """The next call of the queue gets a new child, and only then."""
        pool = self.pool(1)
        call, child = await self.spinning(pool)
        following = pool.call(work.pid)
        await deferLater(reactor, 0.05)
        self.assertNoResult(following)
        await self.cancelled(call)
        self.assertNotEqual(await following, child)

    async def test_others_go_on(self) -> None:
        """The cancel of one call leaves the others and their children alone."""
        pool, path = self.pool(2), self.mktemp()
        other = pool.call(work.wait_for, path)
        call, child = await self.spinning(pool)
        await self.cancelled(call)
        Path(path).touch()
        self.assertNotIn(await other, [child, None])

    async def test_again_and_again(self) -> None:
        """After many cancels the pool has as many children as before, and all of them work."""
        before, pool = children(), self.pool(2)
        for _ in range(5):
            calls = [pool.call(work.spin, self.path) for _ in range(3)]
            await self.until(lambda: len(self.told()) == 2)
            # The last one first: it waits, and would begin when another one is gone.
            for call in reversed(calls):
                await self.cancelled(call)
            Path(self.path).unlink()
            self.assertEqual(children(), before)
        self.assertEqual(await pool.call(work.add, 1), 1)


class WaitingTests(PoolTestCase):
    """Calls that no child has begun."""

    async def test_never_begins(self) -> None:
        """A call that is cancelled in the queue fails at once, and is never made."""
        pool = self.pool(1)
        first = pool.call(work.wait_for, self.path)
        second = pool.call(work.write, f"{self.path}-2", "second")
        third = pool.call(work.write, f"{self.path}-3", "third")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        Path(self.path).touch()
        await first
        await third
        self.assertFalse(Path(f"{self.path}-2").exists())

    async def test_many(self) -> None:
        """A thousand calls that are cancelled in the queue fail at once, in any order."""
        pool = self.pool(1)
        first = pool.call(work.wait_for, self.path)
        calls = [pool.call(work.write, f"{self.path}-2", "late") for _ in range(1000)]
        for call in [*calls[1::2], *reversed(calls[::2])]:
            call.cancel()
            self.failureResultOf(call, CancelledError)
        last = pool.call(work.add, 1)
        Path(self.path).touch()
        await first
        self.assertEqual(await last, 1)
        self.assertFalse(Path(f"{self.path}-2").exists())

    async def test_while_a_child_starts(self) -> None:
        """If a call is cancelled while its child starts, the child makes the next call."""
        before, pool = children(), self.pool(1)
        call = pool.call(work.spin, self.path)
        (child,) = {*children()} - {*before}
        call.cancel()
        self.failureResultOf(call, CancelledError)
        self.assertEqual(await pool.call(work.pid), child)
        self.assertEqual(self.told(), [])


class RequestTests(PoolTestCase):
    """Calls for requests."""

    async def test_client_leaves(self) -> None:
        """When the client leaves, the call stops; until then its place is known."""
        pool, scopes = self.pool(1), list[Scope]()

        def handler(_: object) -> Deferred[None]:
            scopes.append(current_scope())
            return pool.call(work.spin, self.path)

        connection, told = self.visit(handler)
        place = f"process {await self.begun()}, {work.__name__}.spin"
        self.assertEqual(where_it_waits(scopes[0]), place)
        connection.disconnect()
        self.assertNoResult(told)
        self.assertIs((await told).ended, Ended.STOPPED)
        self.assertNotIn(int(self.told()[0]), children())

    async def test_many_clients_leave(self) -> None:
        """When all clients leave at once, nothing of their calls runs, and none begins."""
        pool = self.pool(2)
        visits = [self.visit(lambda _: pool.call(work.spin, self.path)) for _ in range(20)]
        await self.until(lambda: len(self.told()) == 2)
        for connection, _ in visits:
            connection.disconnect()
        for _, told in visits:
            self.assertIs((await told).ended, Ended.STOPPED)
        self.assertEqual(len(self.told()), 2)
        self.assertEqual(await pool.call(work.add, 1), 1)

    async def test_shared(self) -> None:
        """A call that clients share stops with the last of them."""
        pool = self.pool(1)
        shared = Shared(lambda: pool.call(work.spin, self.path))
        (first, first_told), (last, last_told) = [self.visit(lambda _: shared()) for _ in range(2)]
        child = await self.begun()
        first.disconnect()
        await first_told
        self.assertIn(child, children())
        last.disconnect()
        await last_told
        await self.until(lambda: child not in children())
        self.assertEqual(len(self.told()), 1)

    async def test_dead_request(self) -> None:
        """A request whose client has left begins no call."""
        pool = self.pool(1)
        tried: Deferred[Any] = Deferred()

        async def handler(_: object) -> None:
            with contextlib.suppress(CancelledError):
                await Deferred()
            pool.call(work.write, self.path, "begun").chainDeferred(tried)

        connection, told = self.visit(handler)
        connection.disconnect()
        await self.assertFailure(tried, StartRefused)
        await told
        self.assertEqual(self.told(), [])

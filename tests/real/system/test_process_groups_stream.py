"""`cancelweb.processes`: output that comes bit by bit.

What belongs here: `stream`, its back-pressure and its end. What does not: handlers that return it.
"""

import gc
import os
import subprocess
from pathlib import Path
from threading import get_ident
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread

from cancelweb.processes import stream

from .._procs import running
from ._groups import OUTPUT, STUBBORN, GroupTestCase, ended

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class StreamTests(GroupTestCase):
    """Children whose output is streamed."""

    async def test_chunks(self) -> None:
        """The chunks of a stream are the child's output, in its order, and then end."""
        data = os.urandom(OUTPUT)
        chunks = stream(["cat"], stdin=data)
        got = [chunk async for chunk in chunks]
        self.assertEqual(b"".join(got), data)
        self.assertGreater(len(got), 1)
        await self.assertFailure(Deferred.fromCoroutine(ended(chunks)), StopAsyncIteration)

    async def test_as_it_comes(self) -> None:
        """A chunk of output comes before the child has ended."""
        chunks = stream(self.shell("echo begun; exec sleep 60"))
        self.assertEqual(await anext(chunks), b"begun\n")
        await chunks.aclose()
        self.assert_gone()

    async def test_back_pressure(self) -> None:
        """A child whose output is not read has to wait until it is read."""
        counter = Path(self.mktemp())
        script = f"while :; do head -c 65536 /dev/zero; echo >> {counter}; done"
        chunks = stream(self.shell(script))
        await anext(chunks)
        await self.standstill(counter)
        before = counter.stat().st_size
        self.assertLess(before, 10)
        for _ in range(10):
            await anext(chunks)
        await self.until(lambda: counter.stat().st_size > before)
        await chunks.aclose()
        self.assert_gone()

    async def standstill(self, counter: Path) -> None:
        """Wait until the child sleeps in a `write` to its pipe."""

        def is_blocked() -> bool:
            waits = [Path(f"/proc/{pid}/wchan").read_text() for pid in running("/dev/zero")]
            return counter.exists() and any("pipe" in wait for wait in waits)

        await self.until(is_blocked)

    async def test_dropped(self) -> None:
        """A child is stopped when no reference to its stream is left."""
        gc.disable()
        self.addCleanup(gc.enable)
        async for _ in stream(self.shell(f"echo begun; exec {self.sleeper()}")):
            break
        await self.settled()

    async def test_collected(self) -> None:
        """A child whose stream is collected in another thread is stopped in the reactor's."""
        gc.disable()
        self.addCleanup(gc.enable)
        noting: Any = Noting()
        chunks = stream(self.shell(f"echo begun; exec {self.sleeper()}"), reactor=noting)
        await anext(chunks)
        cycle: list[object] = [chunks]
        cycle.append(cycle)
        del chunks, cycle
        await deferToThread(gc.collect)
        await self.settled()
        self.assertEqual(noting.threads, {get_ident()})

    async def test_closed(self) -> None:
        """A stream that is closed has no more chunks, not even what had come before."""
        chunks = stream(self.shell(f"head -c {2**16} /dev/zero; {self.sleeper()}"))
        await anext(chunks)
        await self.started(2)
        await chunks.aclose()
        self.assert_gone()
        for _ in range(2):
            await self.assertFailure(Deferred.fromCoroutine(ended(chunks)), StopAsyncIteration)

    async def test_closed_while_it_is_read(self) -> None:
        """A reader that waits for a chunk of a stream that is closed gets the end."""
        chunks = stream(self.shell(f"exec {self.sleeper()}"))
        reading = Deferred.fromCoroutine(ended(chunks))
        await self.started(1)
        await chunks.aclose()
        await self.assertFailure(reading, StopAsyncIteration)

    async def test_cancelled_while_it_is_closed(self) -> None:
        """A cancel of the closing of a stream takes effect when the group has gone."""
        chunks = stream(self.shell(f"trap '' TERM; echo begun; {STUBBORN}"), grace=0.1)
        await anext(chunks)
        closing = Deferred.fromCoroutine(chunks.aclose())
        closing.cancel()
        self.assertNoResult(closing)
        await self.assertFailure(closing, CancelledError)
        self.assert_gone()

    async def test_not_asked_for(self) -> None:
        """A stream that is closed before a chunk was asked for has no chunks, and no child."""
        chunks = stream(self.shell(self.sleeper()))
        await chunks.aclose()
        await self.assertFailure(Deferred.fromCoroutine(ended(chunks)), StopAsyncIteration)
        self.assert_gone()

    async def test_checked(self) -> None:
        """A status other than 0 is an error after all output, with the end of the error output."""
        noise = 2 * 2**16
        chunks = stream(
            self.shell(f"echo out; head -c {noise} /dev/zero >&2; echo end >&2; exit 3")
        )
        self.assertEqual(await anext(chunks), b"out\n")
        error = await self.assertFailure(
            Deferred.fromCoroutine(ended(chunks)), subprocess.CalledProcessError
        )
        self.assertEqual(error.returncode, 3)
        self.assertEqual(len(error.stderr), 2**16)
        self.assertTrue(error.stderr.endswith(b"end\n"))

    async def test_unchecked(self) -> None:
        """A status other than 0 is not an error of a stream with check=False."""
        self.assertEqual([chunk async for chunk in stream(["false"], check=False)], [])


class Noting:
    """The reactor, which notes the threads in which its timers are set."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def callLater(self, *args: Any) -> Any:
        self.threads.add(get_ident())
        return reactor.callLater(*args)

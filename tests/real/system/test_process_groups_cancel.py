"""`cancelweb.processes`: groups that are stopped.

What belongs here: children that are cancelled, obey or not, and leave others behind. What does not:
their output.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, formatEvent

from cancelweb.processes import run, stream

from ..._logs import log_events, of_cancelweb
from .._procs import running, zombies
from ._groups import OUTPUT, STUBBORN, GroupTestCase, Timed

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class CancelTests(GroupTestCase):
    """Children that are cancelled."""

    async def cancelled(self, deferred: Deferred[Any]) -> None:
        """Cancel a child, and wait until it and its group have ended."""
        deferred.cancel()
        await self.assertFailure(deferred, CancelledError)
        self.assert_gone()

    async def test_pipeline(self) -> None:
        """All processes of a cancelled pipeline are gone when the Deferred fires."""
        child = run(self.shell(f"{self.sleeper()} | {self.sleeper()}"))
        await self.started(3)
        await self.cancelled(child)

    async def test_grandchild(self) -> None:
        """Processes that a cancelled child has put into the background are gone with it."""
        child = run(self.shell(f"({self.sleeper()} & {self.sleeper()} &) & wait; sleep 60"))
        await self.started(3)
        await self.cancelled(child)

    async def test_stubborn(self) -> None:
        """A child that ignores TERM is ended after the grace period."""
        child = run(self.shell(f"trap '' TERM; {self.sleeper()}; {STUBBORN}"), grace=0.1)
        await self.started(2)
        await self.cancelled(child)

    async def test_stubborn_member(self) -> None:
        """A member of the group that ignores TERM is ended, though the first has obeyed."""
        stubborn = f'sh -c "{STUBBORN}" {self.mark} &'
        child = run(self.shell(f"{stubborn} exec {self.sleeper()}"), grace=0.1)
        await self.started(2)
        await self.cancelled(child)

    async def test_obedient(self) -> None:
        """A child may clean up after TERM before it ends, and is waited for."""
        done = Path(self.mktemp())
        cleanup = f"sleep 0.1; echo cleaned > {done}; exit"
        child = run(self.shell(f"trap '{cleanup}' TERM; sleep 60 & wait"))
        await self.started(1)
        child.cancel()
        await self.assertFailure(child, CancelledError)
        self.assertEqual(done.read_text(), "cleaned\n")

    async def test_waiting_output(self) -> None:
        """What a child prints after TERM is discarded, and does not block its end."""
        script = f"trap 'head -c {OUTPUT} /dev/zero; exit' TERM; echo begun; sleep 60& wait"
        chunks = stream(self.shell(script))
        self.assertEqual(await anext(chunks), b"begun\n")
        await chunks.aclose()
        self.assert_gone()

    async def test_exited_before(self) -> None:
        """A child that has exited, but whose output is open, can be cancelled."""
        child = run(self.shell(f"{self.sleeper()} & exit 0"))
        await self.started(1)
        await self.until(zombies)
        await self.cancelled(child)

    async def test_cancelled_twice(self) -> None:
        """A child that is cancelled twice is still waited for."""
        child = run(self.shell(f"trap '' TERM; {self.sleeper()}; {STUBBORN}"), grace=0.1)
        await self.started(2)
        child.cancel()
        child.cancel()
        self.assertNoResult(child)
        await self.cancelled(child)

    async def test_forbidden(self) -> None:
        """A group that this process may not stop is logged, and waited for."""
        forbidden, signals = True, []
        send = os.killpg

        def killpg(group: int, number: int) -> None:
            signals.append(number)
            if forbidden:
                # As the kernel does where all of it runs for another user.
                raise PermissionError
            send(group, number)

        self.patch(os, "killpg", killpg)
        events = log_events(self)
        child = run(self.shell(f"{self.sleeper()} >/dev/null 2>&1 & echo done"), grace=0.1)
        await self.until(lambda: signal.SIGKILL in signals)
        self.assertNoResult(child)
        # One of them for TERM, one for KILL.
        for event in of_cancelweb(events, LogLevel.warn):
            self.assertIn("could not be stopped: no permission", event["log_format"])
        self.assertEqual(len(of_cancelweb(events)), 2)
        forbidden = False
        os.kill(running(self.mark)[0], signal.SIGKILL)
        self.assertEqual((await child).stdout, b"done\n")
        self.assert_gone()

    async def test_forbidden_child(self) -> None:
        """A child that this process may not stop is logged, and waited for."""

        def killpg(group: int, number: int) -> None:
            raise PermissionError

        self.patch(os, "killpg", killpg)
        events = log_events(self)
        child = run(self.shell(f"exec {self.sleeper()}"))
        await self.started(1)
        child.cancel()
        self.assertNoResult(child)
        [event] = of_cancelweb(events, LogLevel.warn)
        self.assertIn("could not be stopped: no permission", event["log_format"])
        os.kill(running(self.mark)[0], signal.SIGKILL)
        await self.assertFailure(child, CancelledError)

    async def test_not_even_by_kill(self) -> None:
        """A group that still runs a second after KILL is let go, and a log line says so."""

        def killpg(group: int, number: int) -> None:
            raise PermissionError

        self.patch(os, "killpg", killpg)
        events = log_events(self)
        timed: Any = Timed()
        child = run(self.shell(f"{self.sleeper()} >/dev/null 2>&1 & exit"), reactor=timed)
        # The output has ended, so the rest of the group is stopped at once, and not after a delay.
        calls = timed.clock.getDelayedCalls
        await self.until(lambda: [each.getTime() for each in calls()] == [0])
        timed.clock.advance(0)
        timed.clock.pump([0.1] * 39)
        self.assertNoResult(child)
        timed.clock.pump([0.1] * 2)
        self.assertEqual(self.successResultOf(child).returncode, 0)
        self.assertIn("runs after KILL, and is let go", formatEvent(of_cancelweb(events)[-1]))
        self.assertEqual(timed.clock.getDelayedCalls(), [])
        self.assertEqual(len(running(self.mark)), 1)

    async def test_leaver_of_the_group(self) -> None:
        """A process that has left the group is out of reach, but is not waited for."""
        script = "import os, time\nif not os.fork(): os.setsid()\ntime.sleep(600)"
        child = run([sys.executable, "-c", script, self.mark])
        # Forked, it is still in the group for a moment.
        await self.until(lambda: len(set(map(os.getpgid, running(self.mark)))) == 2)
        child.cancel()
        await self.assertFailure(child, CancelledError)
        [left] = running(self.mark)
        os.kill(left, signal.SIGKILL)

    async def test_leftovers(self) -> None:
        """What a child that has ended leaves in the background is stopped."""
        script = f"{self.sleeper()} >/dev/null 2>&1 & echo done"
        self.assertEqual((await run(self.shell(script))).stdout, b"done\n")
        self.assert_gone()

    async def test_cancelled_among_leftovers(self) -> None:
        """A cancel that comes while leftovers are being stopped waits for their end."""
        stubborn = f'sh -c "{STUBBORN}" {self.mark} >/dev/null 2>&1 &'
        child = run(self.shell(f"{stubborn} echo done"), grace=0.3)
        await self.started(1)
        await deferLater(reactor, 0)
        await self.cancelled(child)

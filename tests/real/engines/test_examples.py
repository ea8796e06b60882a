"""The examples for job queues and clusters, each served by the command in its docstring.

What belongs here: that an example does what its docstring says. What does not: what its engine
promises.
"""

import os
import re
import shlex
import sys
from signal import SIGKILL

from ..._loopback import reserve_port
from ..._servers import LoggedProcess, Server, reactor
from .._examples import EXAMPLES, ExampleTestCase, Reader, docstring
from .._redis import Redis
from ._tasks import make_app
from ._worker import until


class CeleryTests(ExampleTestCase):
    """`celery_report.py`, with a Redis and a worker."""

    timeout = 90

    async def test_report_stops(self) -> None:
        """A report whose client leaves stops in its worker; another client gets its report."""
        server, worker = await self.serve_reports()
        leaver = await server.connect(Reader("/7"))
        await worker.log.expect("report 7 begins")
        leaver.leave()
        await worker.log.expect(r"report 7 has stopped after \d+ steps")
        await server.log.expect(r"\[cancelweb#info\] GET /7: stopped .*disconnected")
        waiter = await server.connect(Reader("/8"))
        self.assertIn(b"\r\n\r\nThe report of 8.\n", await waiter.closed)
        self.assert_quiet(server)

    async def test_without_redis(self) -> None:
        """Without Redis a client gets a 503 at once."""
        server = await self.serve("celery_report.py", REDIS_URL=f"redis://127.0.0.1:{self.port}/0")
        reader = await server.connect(Reader("/7"))
        self.assertIn(b" 503 Service Unavailable\r\n", await reader.closed)

    async def test_exits(self) -> None:
        """A server that is told to stop while a report waits exits, without a task left behind."""
        redis = Redis(self.port)
        redis.start()
        self.addCleanup(redis.kill)
        server = await self.serve("celery_report.py", REDIS_URL=redis.url)
        await server.connect(Reader("/7"))
        await until(lambda: self.is_queued(redis))
        self.process.signal("TERM")
        reason = await self.process.end()
        self.assertNotEqual(getattr(reason, "signal", None), SIGKILL)
        self.assert_quiet(server)

    def is_queued(self, redis: Redis) -> bool:
        """Whether a task waits for a worker."""
        return bool(make_app(redis.url).backend.client.exists("celery"))

    def setUp(self) -> None:
        """Choose a port for Redis."""
        super().setUp()
        self.port = reserve_port(self)

    async def serve_reports(self) -> tuple[Server, LoggedProcess]:
        """Start a Redis, a worker by the command in the docstring, and the server."""
        redis = Redis(self.port)
        redis.start()
        self.addCleanup(redis.kill)
        found = re.search(r"examples (celery .*)$", docstring(EXAMPLES / "celery_report.py"), re.M)
        assert found is not None
        worker = LoggedProcess()
        env = {**os.environ, "PYTHONPATH": f"{EXAMPLES}{os.pathsep}{os.environ.get('PYTHONPATH')}"}
        reactor.spawnProcess(
            worker,
            sys.executable,
            [sys.executable, "-m", *shlex.split(found[1]), "--concurrency", "1"],
            env={**env, "REDIS_URL": redis.url},
        )
        self.addCleanup(worker.stop)
        await worker.log.expect(r" ready\.", within=60)
        return await self.serve("celery_report.py", REDIS_URL=redis.url), worker

"""Celery tasks: results, errors, and tasks that are stopped. A real Redis and real workers."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, gatherResults
from twisted.trial.unittest import TestCase

from cancelweb.celery import Calls

from ._tasks import make_app
from ._worker import start_redis, start_worker


class ResultTests(TestCase):
    """Results of tasks."""

    timeout = 120

    async def test_returns(self) -> None:
        """The Deferred fires with what the task returned."""
        redis = start_redis(self)
        w = await start_worker(self, redis)
        app = make_app(redis.url)
        calls = Calls(app)
        self.assertEqual(await calls.run(app.tasks["add"].s(1, 2)), 3)
        try:
            await calls.run(app.tasks["fail"].s("x"))
        except Exception as e:
            print(repr(e), e.__notes__)
        import time

        t = time.monotonic()
        look = calls.run(app.tasks["look"].s("a"))
        from twisted.internet import reactor
        import sys

        await w.log.expect("a begins")
        print(look._cancelweb_place)
        t = time.monotonic()
        look.cancel()
        r = await look.addErrback(lambda f: f.type)
        print(r, time.monotonic() - t)
        s = [calls.run(app.tasks["sleep"].s(f"s{i}", 4)) for i in range(12)]
        await w.log.expect("s1 begins")
        t = time.monotonic()
        [each.cancel() for each in s]
        for i, each in enumerate(s):
            each.addBoth(lambda r, i=i: print(i, getattr(r, "type", r), time.monotonic() - t))
        await gatherResults([each.addErrback(lambda f: None) for each in s])
        print([l for l in w.log.lines if "begins" in l])

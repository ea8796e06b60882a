from twisted.internet import reactor
from twisted.trial.unittest import TestCase
from twisted.internet.defer import gatherResults, Deferred
from cancelweb.celery import Calls
import time, threading, sys
from ._tasks import make_app
from ._worker import start_redis, start_worker


def sleep(s):
    d = Deferred()
    reactor.callLater(s, d.callback, None)
    return d


class T(TestCase):
    timeout = 60

    async def test_lost(self):
        redis = start_redis(self)
        w = await start_worker(self, redis)
        app = make_app(redis.url)
        calls = Calls(app)
        self.assertEqual(await calls.run(app.tasks["add"].s(1, 2)), 3)
        look = (
            calls.run(app.tasks["add"].set(countdown=1000).s(1, 2))
            if 0
            else calls.run(app.tasks["add"].s(1, 2).set(queue="none"))
        )
        await sleep(1)
        t = time.monotonic()
        redis.kill()
        try:
            await look
        except Exception as e:
            print(repr(e), time.monotonic() - t)
        for i in range(3):
            t = time.monotonic()
            try:
                await calls.run(app.tasks["add"].s(1, 2))
            except Exception as e:
                print(repr(e), time.monotonic() - t)
        redis.start()
        t = time.monotonic()
        try:

            def show():
                import faulthandler

                faulthandler.dump_traceback(file=open("/root/stacks", "w"))
                print("\n".join(l[:300] for l in w.log.lines[-40:]))
                mb = calls._messages._backend
                print(calls._under_way._awaited, calls._under_way.leaving)

            reactor.callLater(15, show)
            print(await calls.run(app.tasks["add"].s(1, 2)).addTimeout(20, reactor))
        except Exception as e:
            print(repr(e), time.monotonic() - t)
        print([l for l in w.log.lines][-30:])
        mb = calls._messages._backend
        print(
            mb._pending_results,
            mb._pending_messages.total,
            mb.result_consumer.subscribed_to,
            mb.result_consumer._pubsub,
            mb.result_consumer._pubsub.connection,
            mb.client.keys("celery-task-meta*"),
        )
        print(time.monotonic() - t)
        print(time.monotonic() - t)
        await sleep(3)
        print(calls._under_way.leaving._left)
        print([l for l in w.log.lines][-30:])
        self.flushLoggedErrors()

    async def test_storm(self):
        redis = start_redis(self)
        w = await start_worker(self, redis)
        app = make_app(redis.url)
        calls = Calls(app)
        t = time.monotonic()
        ds = [calls.run(app.tasks["look"].s(f"s{i}")) for i in range(1000)]
        self.lag = 0
        last = [time.monotonic()]

        def tick():
            now = time.monotonic()
            self.lag = max(self.lag, now - last[0])
            last[0] = now
            self.tick = reactor.callLater(0.005, tick)

        tick()
        while any(b"not sent" in str(d._cancelweb_place).encode() for d in ds):
            await sleep(0.05)
        print(
            "sent",
            time.monotonic() - t,
            threading.active_count(),
            [x.name for x in threading.enumerate()],
        )
        print("lag", self.lag)
        self.lag = 0
        t = time.monotonic()
        [d.cancel() for d in ds]
        print("cancel", time.monotonic() - t)
        await gatherResults([d.addErrback(lambda f: None) for d in ds])
        print("ended", time.monotonic() - t, "lag", self.lag)
        self.tick.cancel()
        print(len([l for l in w.log.lines if "begins" in l]))
        b = app.backend
        t = time.monotonic()
        r = await gatherResults([calls.run(app.tasks["add"].s(i, i)) for i in range(1000)])
        print("1000 adds", time.monotonic() - t)
        await sleep(1)
        mb = calls._messages._backend
        print(
            mb._pending_results,
            mb._pending_messages.total,
            len(mb.result_consumer.subscribed_to),
            len(mb.client.keys("celery-task-meta*")),
        )

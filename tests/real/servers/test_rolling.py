"""A rolling restart under load, behind nginx and HAProxy: the settings of the docs, and defaults.

What belongs here: how many requests are lost, and how many are run twice. What does not: what a
proxy repeats of a single request, which `test_repeats` has.
"""

from collections import Counter

from twisted.trial.unittest import TestCase

from ._pairs import Pair, haproxy_pair, nginx_pair, repeating
from ._rolling import GET, POST, Report, roll

DELAY = "--drain-delay=1"
IS_BACK = "is UP"


class RollingTestCase(TestCase):
    """Rolling restarts."""

    timeout = 120

    async def report(
        self, pair: Pair, *options: str, restarts: int = 3, is_back: str | None = None
    ) -> Report:
        """Restart the instances behind this proxy under load."""
        report = await roll(self, pair, options, restarts, is_back)
        self.assertGreater(len(report.answers), 200)
        return report


class DelayTests(RollingTestCase):
    """Instances that serve on for a while after the signal, as the docs recommend."""

    def assert_all_served(self, report: Report) -> None:
        """Each request, also each POST, was run once and answered."""
        self.assertEqual(report.lost, [])
        self.assertEqual(report.repeated, [])
        self.assertEqual({each.method for each in report.answers}, {GET, POST})

    async def test_nginx(self) -> None:
        """Behind nginx, a rolling restart with a delay loses no request and repeats none."""
        # The docs have a delay of five seconds.
        pair = nginx_pair().changed({"keepalive_timeout 2s": "keepalive_timeout 400ms"})
        self.assert_all_served(await self.report(pair, DELAY))

    async def test_haproxy(self) -> None:
        """Behind HAProxy with checks, a rolling restart with a delay loses and repeats none."""
        self.assert_all_served(await self.report(haproxy_pair(), DELAY, is_back=IS_BACK))

    async def test_nginx_that_counts_failures(self) -> None:
        """Without `max_fails=0`, nginx takes both instances for dead, and loses requests."""
        pair = nginx_pair().without(" max_fails=0")
        report = await self.report(pair, DELAY, restarts=2)
        self.assertIn(502, {each.status for each in report.lost})


class RepeatingTests(RollingTestCase):
    """Proxies that repeat elsewhere what an instance turns away, without a delay."""

    def assert_reads_served(self, report: Report) -> None:
        """Each GET was answered; a POST may have been turned away, and none was run twice."""
        self.assertEqual([each for each in report.lost if each.method == GET], [])
        self.assertEqual([each for each in report.lost if report.runs[each.number]], [])
        self.assertEqual(report.repeated, [])

    async def test_nginx(self) -> None:
        """If nginx repeats a 503, a rolling restart loses no GET, and runs no POST twice."""
        self.assert_reads_served(await self.report(repeating(nginx_pair())))

    async def test_haproxy(self) -> None:
        """If HAProxy repeats a 503, a rolling restart loses no GET, and runs no POST twice."""
        pair = repeating(haproxy_pair())
        self.assert_reads_served(await self.report(pair, is_back=IS_BACK))


class DefaultsTests(RollingTestCase):
    """Proxies with their defaults, and without a delay."""

    def assert_loses(self, report: Report, *statuses: int) -> None:
        """Requests were lost, each with one of these statuses, and none of them was run."""
        lost = Counter(each.status for each in report.lost)
        self.assertTrue(lost)
        self.assertEqual(set(lost) - set(statuses), set())
        self.assertEqual([each for each in report.lost if report.runs[each.number]], [])

    async def test_nginx(self) -> None:
        """With its defaults, nginx hands on the 503 of the drain, and finds no instance alive."""
        pair = nginx_pair().without(" max_fails=0")
        self.assert_loses(await self.report(pair, restarts=2), 502, 503)

    async def test_haproxy(self) -> None:
        """With its defaults, HAProxy hands on the 503 of the drain."""
        pair = haproxy_pair().without("option redispatch", "option httpchk GET /readyz")
        pair = pair.without(
            "check port 9001 inter 100 fall 1 rise 1", "check port 9002 inter 100 fall 1 rise 1"
        )
        self.assert_loses(await self.report(pair, restarts=2), 503)

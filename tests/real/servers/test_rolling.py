"""A rolling restart under load: each row of the table in the docs, behind the real proxy.

What belongs here: how many requests are lost, and that none is run twice. What does not: what a
proxy repeats of a single request, which `test_repeats` has.
"""

import re
from typing import ClassVar

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ._pairs import PAGE, Pair, haproxy_pair, nginx_pair, repeating
from ._rolling import GET, POST, Report, roll

NONE, SOME, MANY = "none", "some: 503", "many: 502"
"""What is lost, as the table says it."""

DELAY = "--drain-delay=1"
IS_BACK = "is UP"
"""What HAProxy logs of an instance whose check succeeds again."""

# The docs have a delay of five seconds, in which nginx closes what it does not use for two.
NGINX = nginx_pair().changed({"keepalive_timeout 2s": "keepalive_timeout 400ms"})
# By default, nginx gives up an instance for ten seconds: too short on a busy machine.
COUNTING = NGINX.changed({" max_fails=0": " fail_timeout=60s"})
NGINX_DEFAULTS = COUNTING.without(
    "keepalive 16;",
    "keepalive_timeout 400ms;",
    "proxy_http_version 1.1;",
    'proxy_set_header Connection "";',
)
HAPROXY = haproxy_pair()
HAPROXY_DEFAULTS = HAPROXY.without(
    "option abortonclose",
    "option redispatch",
    "option httpchk GET /readyz",
    " check port 9001 inter 100 fall 1 rise 1",
    " check port 9002 inter 100 fall 1 rise 1",
)


@frozen
class Row:
    """A row of the table.

    Attributes:
        settings: as the table says them.
        pair: the proxy.
        get: which GETs are lost.
        post: which POSTs are lost.
        options: those of the instances.
        is_back: what the proxy logs when it has noticed that an instance is back.
    """

    settings: str
    pair: Pair
    get: str
    post: str
    options: tuple[str, ...] = ()
    is_back: str | None = None


ROWS = [
    Row("nginx, as above, with a delay", NGINX, NONE, NONE, (DELAY,)),
    Row("HAProxy, as above, with a delay", HAPROXY, NONE, NONE, (DELAY,), IS_BACK),
    Row("nginx, ``proxy_next_upstream``, no delay", repeating(NGINX), NONE, SOME),
    Row("HAProxy, ``retry-on``, no delay", repeating(HAPROXY), NONE, SOME, (), IS_BACK),
    Row("HAProxy, defaults, no delay", HAPROXY_DEFAULTS, SOME, SOME),
    Row("nginx, defaults, no delay", NGINX_DEFAULTS, MANY, MANY),
    Row("nginx, without ``max_fails=0``, with a delay", COUNTING, MANY, MANY, (DELAY,)),
]


class RollingTests(TestCase):
    """A row of the table."""

    timeout = 120
    row: ClassVar[Row]

    async def test_restart(self) -> None:
        """A rolling restart loses the requests that the row says, and runs none of them twice."""
        row = self.row
        report = await roll(self, row.pair, row.options, row.is_back)
        self.assert_lost(report, GET, row.get)
        self.assert_lost(report, POST, row.post)
        self.assertEqual([each for each in report.lost if report.runs[each.number]], [])
        self.assertEqual(report.repeated, [])

    def assert_lost(self, report: Report, method: bytes, told: str) -> None:
        """The requests of this method are lost that the row says."""
        lost = report.lost_of(method)
        statuses = {each.status for each in lost}
        if told == NONE:
            self.assertEqual(lost, [])
        else:
            self.assertLessEqual(statuses, {503, int(told[-3:])}, lost[:5])
        if method == GET and told != NONE:
            self.assertIn(int(told[-3:]), statuses)


for _row in ROWS:
    _name = "".join(re.findall(r"\w+", _row.settings.title())) + "Tests"
    globals()[_name] = type(_name, (RollingTests,), {"row": _row, "__doc__": _row.settings})
del RollingTests


class DocsTests(SynchronousTestCase):
    """The table in the docs."""

    def test_has_these_rows(self) -> None:
        """The how-to has exactly the rows that are tested here."""
        rows = re.findall(r"^ +\* - (.+)\n +- (.+)\n +- (.+)$", PAGE.read_text(), re.M)
        expected = [(row.settings, row.get, row.post) for row in ROWS]
        self.assertEqual([("settings", "GET", "POST"), *expected], rows)

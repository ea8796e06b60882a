"""What the tests of the status page share: a site on a clock, and what its page says.

What belongs here: setting up, and asking. What does not: tests.
"""

import json
import re
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cancelweb.status import StatusResource
from cancelweb.status._resource import FILES
from cancelweb.testing import Response

from .._visits import connect
from ._monitored import Monitored


def cells_of(html: str) -> list[list[str]]:
    """The text of the rows of a table, cell by cell."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.S)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in rows]
    return [[" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in row] for row in cells]


PATHS = [b"/", b"/json", *(b"/" + name for name in FILES)]


class StatusTestCase(SynchronousTestCase):
    """A test of the status page: a monitored site, and the page that shows it."""

    def setUp(self) -> None:
        self.clock = Clock()
        # Like a reactor's, which does not begin at 0.
        self.clock.advance(1_000_000)
        self.site = Monitored(self.clock)
        self.status = StatusResource(self.site.monitor)

    def get(self, path: bytes = b"/", method: bytes = b"GET") -> Response:
        """The response of the status page to one request."""
        connection = connect(self.status, self.clock)
        connection.request(method=method, path=path)
        return connection.response

    def page(self) -> str:
        """The HTML of the status page a second later."""
        self.clock.advance(1)
        return self.get().body.decode()

    def table(self, name: str) -> list[list[str]]:
        """The text of the rows of a table on the page, cell by cell."""
        body = re.search(rf'<tbody id="{name}"[^>]*>(.*?)</tbody>', self.page(), re.S)
        assert body is not None
        return cells_of(body[1])

    def ranking(self, id: str) -> list[list[str]]:
        """The text of the rows of a list of handlers or paths, by the id of its heading."""
        table = re.search(rf'<h3 id="{id}">.*?<tbody>(.*?)</tbody>', self.page(), re.S)
        assert table is not None
        return cells_of(table[1])

    def numbers(self) -> dict[str, str]:
        """The numbers at the top of the page, by name."""
        found = re.findall(r"<dt><a[^>]*>(.*?)</a></dt><dd>([\d,]+)", self.page())
        return dict(found)

    def json(self) -> Any:
        """The JSON of the status page."""
        return json.loads(self.get(b"/json").body)

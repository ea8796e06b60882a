"""A slow query that stops in the database when its client leaves.

Run it::

    PYTHONPATH=examples twist web --class=query.Report

`curl http://localhost:8080/` takes some seconds, and `top` shows what it costs. Interrupt it: the
processor is free at once.
"""

from twisted.internet import reactor
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect
from cancelweb.database import ConnectionPool

log = Logger()

SLOW_SQL = """
    WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < ?)
    SELECT sum(n) FROM counter
"""


class Report(Resource):
    """Asks the database."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        # The pool closes connections from another thread, so SQLite must not check the thread.
        self.pool = ConnectionPool(
            "sqlite3", ":memory:", check_same_thread=False, cp_reactor=reactor
        )

    @cancel_on_disconnect
    async def render_GET(self, request: IRequest) -> bytes:
        """Await the rows. Nothing else is necessary."""
        log.info("the query begins")
        try:
            ((total,),) = await self.pool.runQuery(SLOW_SQL, (30_000_000,))
        finally:
            log.info("the query has ended")
        return b"%d\n" % total

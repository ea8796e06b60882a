"""An asynchronous database driver: psycopg in an asyncio task, under asyncio's reactor.

Run it, with ``pip install cancelweb[postgres]``, and the server's address in PGHOST, PGUSER, ...::

    PYTHONPATH=examples twist --reactor=asyncio web --class=async_query.Report

`curl http://localhost:8080/` takes five seconds. Interrupt it: `pg_stat_activity` no longer shows
the query.
"""

import asyncio

from psycopg import AsyncConnection
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect


async def report() -> bytes:
    """Ask the database. When the task is cancelled, psycopg cancels the query and rolls back."""
    async with await AsyncConnection.connect() as connection:
        cursor = await connection.execute("SELECT 42, pg_sleep(5)")
        ((number, _),) = await cursor.fetchall()
        return b"%d\n" % number


class Report(Resource):
    """Asks the database."""

    isLeaf = True

    @cancel_on_disconnect
    def render_GET(self, request: IRequest) -> "asyncio.Task[bytes]":
        """Return the task: the scope waits until it has really ended."""
        return asyncio.ensure_future(report())

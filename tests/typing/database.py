"""What queries and interactions give.

What belongs here: programs about databases as users write them, checked as `handlers.py` is.
"""

from sqlite3 import Connection, Cursor
from typing import Any, assert_type

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred
from twisted.web.server import Request

from cancelweb import cancel_on_disconnect, shield
from cancelweb.database import ConnectionPool

pool = ConnectionPool("sqlite3", ":memory:", cp_min=1)


def count(cursor: Cursor, table: str) -> int:
    [(number,)] = cursor.execute(f"SELECT count(*) FROM {table}")
    return int(number)


def plain(transaction: adbapi.Transaction, name: str, *, rows: int = 1) -> str:
    return name * rows


def using(connection: Connection) -> bytes:
    return b""


async def use() -> None:
    assert_type(await pool.runQuery("SELECT name FROM t WHERE id = ?", (1,)), list[Any])
    assert_type(pool.runOperation("DELETE FROM t"), Deferred[None])
    assert_type(await pool.runInteraction(count, "t"), int)
    assert_type(await pool.runInteraction(plain, "name", rows=3), str)
    assert_type(await pool.runInteraction(lambda cursor: count(cursor, "t")), int)
    assert_type(await pool.runWithConnection(using), bytes)
    await shield(pool.runQuery, "SELECT 1")
    assert_type(await shield(lambda: pool.runInteraction(count, "t")), int)
    rows: list[tuple[int, str]] = await pool.runQuery("SELECT id, name FROM t")
    assert_type(rows[0][1], str)
    row: tuple[int] = await pool.runQuery("SELECT id FROM t")  # type: ignore[assignment]
    assert_type(row[0], int)
    pool.runInteraction(count)  # type: ignore[call-arg]
    pool.runInteraction(count, 1)  # type: ignore[arg-type]
    pool.runInteraction(plain, "name", row=3)  # type: ignore[call-arg]


@cancel_on_disconnect
def rows_are_no_response(request: Request) -> Deferred[bytes]:
    return pool.runInteraction(using)


@cancel_on_disconnect  # type: ignore[arg-type]
def rows_as_response(request: Request) -> Deferred[list[Any]]:
    return pool.runQuery("SELECT 1")

from sqlite3 import Cursor

from twisted.web.server import Request

from cancelweb import cancel_on_disconnect
from cancelweb.database import ConnectionPool


class Orders:
    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    @cancel_on_disconnect
    async def names(self, request: Request) -> bytes:
        rows: list[tuple[int, str]] = await self._pool.runQuery("SELECT id, name FROM orders")
        return "".join(f"{number}: {name}\n" for number, name in rows).encode()

    @cancel_on_disconnect
    async def add(self, request: Request) -> bytes:
        number = await self._pool.runInteraction(insert, name="coffee")
        return f"order {number}\n".encode()


def insert(cursor: Cursor, name: str) -> int | None:
    cursor.execute("INSERT INTO orders (name) VALUES (?)", (name,))
    return cursor.lastrowid

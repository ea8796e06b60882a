"""The example that asks PostgreSQL, served by the command in its docstring."""

from .._examples import ExampleTestCase, Reader
from .._postgres import postgres


class ExamplesTests(ExampleTestCase):
    """The example does what its docstring says."""

    async def test_async_query_stops(self) -> None:
        """The query of an asynchronous driver is gone when its client has left."""
        database = postgres()
        name = "async-example"
        server = await self.serve(
            "async_query.py",
            PGHOST=str(database.directory),
            PGUSER="postgres",
            PGAPPNAME=name,
        )
        leaver = await server.connect(Reader("/"))
        await database.running(name)
        leaver.leave()
        await self.assert_stopped(server)
        self.assertNotIn("active", database.states(name))
        await database.gone(name)
        waiter = await server.connect(Reader("/"))
        self.assertTrue((await waiter.closed).endswith(b"\r\n\r\n42\n"))
        self.assert_quiet(server)

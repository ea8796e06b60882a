"""A Klein application whose queries stop in the database when their client leaves.

Run it::

    PYTHONPATH=examples twist web --class=klein_database.root

`curl http://localhost:8080/count/10000000` takes some seconds, and `top` shows what it costs.
Interrupt it: the processor is free at once, and the log says that the query has stopped.
"""

from klein import Klein
from twisted.internet import reactor
from twisted.logger import Logger
from twisted.web.iweb import IRequest

from cancelweb import CancellingResource, Scope, current_scope
from cancelweb.database import ConnectionPool

log, app = Logger(), Klein()
# The pool closes connections from another thread, so SQLite must not check the thread.
pool = ConnectionPool("sqlite3", ":memory:", check_same_thread=False, cp_reactor=reactor)

SLOW_SQL = """
    WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < ?)
    SELECT sum(n) FROM counter
"""


@app.route("/count/<int:limit>")
async def count(request: IRequest, limit: int) -> bytes:
    """Ask the database. No function on the way has to pass the scope on."""
    return b"%d\n" % await total(limit)


async def total(limit: int) -> int:
    """Run the query, and add a hook. This function does not need the request."""
    scope = current_scope()
    scope.on_cancel(given_up)
    log.info("the query begins")
    # Klein cancels what a view awaits. The scope waits for tracked work before it runs the hooks.
    ((number,),) = await scope.track(pool.runQuery(SLOW_SQL, (limit,)))
    return int(number)


def given_up(scope: Scope) -> None:
    """Run when the query has really stopped."""
    log.info("the query has stopped: {cause}", cause=scope.cause)


def root() -> CancellingResource:
    """Wrap the application; a query has ten seconds."""
    return CancellingResource(app.resource(), timeout=10)

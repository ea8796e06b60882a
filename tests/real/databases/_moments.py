"""Queries that are cancelled at random moments around their ends, on any server.

What belongs here: what the drivers' tests have in common. What does not: what each server shows.
"""

import random
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList

from cancelweb.database import Committed

reactor: Any = _installed_reactor

QUERIES = 500


async def cancel_at_random_moments(case: Any, sleep: str, clients: int) -> None:
    """Cancel queries in the pool of a test, some too late; none hits another.

    Args:
        case: the test; it has the pool.
        sleep: a call that sleeps for 2 ms in the server.
        clients: how many queries there are at a time.
    """
    counts = {"completed": 0, "cancelled": 0, "committed": 0}
    await DeferredList(
        [
            Deferred.fromCoroutine(_hammer(case, sleep, client, QUERIES // clients, counts))
            for client in range(clients)
        ],
        fireOnOneErrback=True,
        consumeErrors=True,
    )
    case.assertEqual(sum(counts.values()), QUERIES)
    case.assertGreater(counts["completed"], 0)
    case.assertGreater(counts["cancelled"], 0)


async def _hammer(case: Any, sleep: str, client: int, times: int, counts: dict[str, int]) -> None:
    """Cancel a query at a moment around its end, and look at the rows of the one after it."""
    for number in range(times):
        query = case.pool.runQuery(f"SELECT %s, {sleep}", (number,))
        canceller = reactor.callLater(random.uniform(0, 0.008), query.cancel)
        try:
            rows = await query
        except Committed as late:
            rows = late.result
            counts["committed"] += 1
        except CancelledError:
            rows = None
            counts["cancelled"] += 1
        else:
            canceller.cancel()
            counts["completed"] += 1
        if rows is not None:
            case.assertEqual(rows[0][0], number)
        own = (client, number)
        # It fails here if the cancel hits this one: the server then says that it was stopped.
        case.assertEqual([*await case.pool.runQuery("SELECT %s, %s", own)], [own])

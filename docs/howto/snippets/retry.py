from twisted.internet.defer import CancelledError

from cancelweb.database import Committed, MaybeCommitted

INSERT = "INSERT INTO orders VALUES (?)"


def keep(failure, seconds):
    return failure


async def save(pool, order, clock):
    for _ in range(3):
        query = pool.runOperation(INSERT, (order,))
        query.addTimeout(5, clock, onTimeoutCancel=keep)
        try:
            await query
        except Committed:
            return  # The cancel came too late: the order is saved.
        except MaybeCommitted:
            raise  # Look into the table before you try again.
        except CancelledError:
            continue  # Nothing was written.
        else:
            return
    raise TimeoutError("could not save the order")

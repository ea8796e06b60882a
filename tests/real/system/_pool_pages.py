"""Pages of `twist cancelweb` whose work is done in child processes, and a site's own server.

What belongs here: what is served. What does not: tests.
"""

from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect
from cancelweb.processes import Pool

from . import _pool_work as work

pool = Pool(2)


class Pages(Resource):
    """Each page calls a function in a child process; the query is the file that it writes."""

    isLeaf = True

    @cancel_on_disconnect
    async def render_GET(self, request: object) -> bytes:
        """Compute: `/spin?PATH` for a minute, `/pid` not at all."""
        path, _, query = request.uri.decode().partition("?")  # type: ignore[attr-defined]
        if path == "/pid":
            return b"pid=%d;" % await pool.call(work.pid)
        await pool.call(work.match if path == "/match" else work.spin, query)
        return b"done"

"""The page that `processes` asks for: a decorated handler with a millisecond or two of work.

What belongs here: the handler. What does not: its servers and its clients.
"""

from __future__ import annotations

import hashlib
import json
import os
from operator import itemgetter

from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect

ROWS = 500
PROCESS = b"%d" % os.getpid()


class Page(Resource):
    """Answers with a digest of some rows, and tells which process has answered."""

    isLeaf = True

    @cancel_on_disconnect
    async def render_GET(self, request: IRequest) -> bytes:
        """Make the rows, sort them, and turn them into JSON, as a site may do for a table."""
        rows = [
            {"id": each, "key": each * 7919 % ROWS, "name": f"row {each}"} for each in range(ROWS)
        ]
        rows.sort(key=itemgetter("key"))
        request.setHeader(b"x-process", PROCESS)
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest().encode()

"""An upload that is checked before it is kept. If the client leaves, the file is removed.

Run it::

    PYTHONPATH=examples twist web --class=upload.Uploads

`curl -T README.md http://localhost:8080/` waits two seconds, and the file is kept until the server
stops. With `curl -m 1 ...` the client leaves during the check, and the file is removed.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.http import CREATED
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import Scope, cancel_on_disconnect, current_scope

log = Logger()


async def check(upload: Path) -> None:
    """Stand for a slow check, such as a search for viruses."""
    log.info("checking {upload}", upload=upload)
    await deferLater(reactor, 2)


class Uploads(Resource):
    """Keeps what has passed the check."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        temporary = TemporaryDirectory(prefix="uploads-")
        reactor.addSystemEventTrigger("after", "shutdown", temporary.cleanup)
        self.directory = Path(temporary.name)

    @cancel_on_disconnect
    async def render_PUT(self, request: IRequest) -> bytes:
        """Put the upload aside, check it, keep it."""
        part = self.directory / f"{uuid4()}.part"

        @current_scope().on_cancel
        def remove(scope: Scope) -> None:
            part.unlink(missing_ok=True)

        with part.open("wb") as file:
            shutil.copyfileobj(request.content, file)
        await check(part)
        kept = part.rename(part.with_suffix(".kept"))
        request.setResponseCode(CREATED)
        return f"{kept.name}\n".encode()

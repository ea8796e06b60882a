"""Pictures of a page for the docs, as small files.

What belongs here: how a picture is taken. Which pages there are pictures of is a matter of the
programs in `docs/screenshots`: `nox -s screenshots` runs each of them.
"""

from base64 import b64decode
from pathlib import Path

from .._docs import DOCS
from ._chromium import Tab

UNCOMMITTED = DOCS / "_build" / "screenshots"
"""Where pictures go that no page shows. They are only to look at."""


async def take(tab: Tab, path: Path, width: int, height: int) -> None:
    """Write `path-light.webp` and `path-dark.webp`, with what the tab shows in this size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        await tab.look(width, height, scheme)
        shot = await tab.call("Page.captureScreenshot", format="webp", quality=80)
        path.with_name(f"{path.name}-{scheme}.webp").write_bytes(b64decode(shot["data"]))

"""Takes pictures of pages of the documentation, to look at them: light and dark, wide and narrow.

`nox -s screenshots` builds the documentation and runs this with trial. No page shows the pictures.
"""

from pathlib import Path

from tests.real._chromium import launch
from tests.real._pictures import UNCOMMITTED, take
from twisted.trial.unittest import TestCase

BUILT = Path(__file__).resolve().parents[1] / "_build" / "html"
PAGES = [
    "index",
    "howto/index",
    "howto/deadlines",
    "explanation/life",
    "reference/options",
    "reference/api",
]
SIZES = {"desktop": (1200, 1400), "phone": (390, 1400)}


class Pictures(TestCase):
    """Pictures of the landing page, of how-to guides, of an explanation, and of the reference."""

    timeout = 120

    async def test_pages(self) -> None:
        """Each page is there in each size."""
        tab = await (await launch(self)).tab()
        for page in PAGES:
            await tab.load((BUILT / f"{page}.html").as_uri())
            for size, (width, height) in SIZES.items():
                await take(tab, UNCOMMITTED / f"{page.replace('/', '-')}-{size}", width, height)

"""Drawings of the documentation in a real browser: they fit any font, size and width.

What they draw is for `docs.test_life_page`.
"""

from pathlib import Path

from twisted.trial.unittest import TestCase

from ..._docs import DOCS
from .._chromium import Tab, launch

FONTS = ["", "16px sans-serif", "11px serif", "28px monospace", "bold 20px sans-serif"]
WIDTHS = [1000, 360]

MISPLACED = """
(() => {
    const all = (kind) => [...document.querySelectorAll(kind)];
    const where = (element) => element.getBoundingClientRect();
    const box = (name) => where(document.querySelector(`[data-state=${name}]`));
    const isNear = (one, other) => Math.abs(one - other) < 2;
    const meet = (a, b) =>
        a.left < b.right - 1 && b.left < a.right - 1 &&
        a.top < b.bottom - 1 && b.top < a.bottom - 1;
    const texts = all(".life-state, .life-move span");
    return {
        overflowing: all(".life-state").filter(each =>
            each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight
        ).map(each => each.dataset.state),
        detached: all(".life-move").filter(each => {
            const from = box(each.dataset.from), to = box(each.dataset.to), line = where(each);
            const middle = (line.left + line.right) / 2;
            const isOver = (target) => target.left < middle && middle < target.right;
            return !(isNear(from.bottom, line.top) && isNear(line.bottom, to.top)
                && isOver(from) && isOver(to));
        }).map(each => each.className),
        overlapping: texts.filter((each, index) =>
            texts.slice(index + 1).some(other => meet(where(each), where(other)))
        ).map(each => each.textContent),
        count: texts.length,
    };
})()
"""
"""What is not where it should be: boxes, arrows, labels; and how many there are."""


class LifeTests(TestCase):
    """The drawing of a request's life."""

    timeout = 60

    def page(self, font: str) -> str:
        """The address of a page that has the drawing alone, in this font."""
        style = (DOCS / "_static" / "custom.css").read_text()
        drawing = (DOCS / "explanation" / "life.html").read_text()
        path = Path(self.mktemp() + ".html").resolve()
        path.write_text(
            f"<!doctype html><meta charset=utf-8><style>{style}"
            f"body {{ font: {font} }}</style>{drawing}"
        )
        return path.as_uri()

    async def check(self, tab: Tab, font: str) -> None:
        """Look at the drawing in one font."""
        await tab.load(self.page(font))
        found = await tab.evaluate(MISPLACED)
        self.assertGreater(found.pop("count"), 15)
        self.assertEqual(found, {"overflowing": [], "detached": [], "overlapping": []}, font)

    async def test_fits_any_font(self) -> None:
        """Texts stay in their boxes, and arrows lead from box to box, in each font and width."""
        tab = await (await launch(self)).tab()
        for width in WIDTHS:
            await tab.look(width, 900, "light")
            for font in FONTS:
                await self.check(tab, font)

"""Each page of the docs begins with what it is for, and leads on to another.

What belongs here: the shape of pages, and the index of the guides. What does not: what they say.
"""

import re
from itertools import chain
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .._docs import DOCS, PAGES

INDEX = (DOCS / "howto" / "index.rst").read_text()
LANDING = DOCS / "index.rst"
LEADS_NOWHERE = {
    LANDING,
    DOCS / "changelog.rst",
    DOCS / "howto" / "index.rst",
    DOCS / "reference" / "index.rst",
}
"""They are lists of other pages, or the end."""


def title_of(page: Path) -> str:
    """The title of a page, without its markup."""
    found = re.search(r"^(.+)\n={3,}$", page.read_text(), re.M)
    assert found is not None, page
    return found[1].replace("`", "")


class ShapeTests(SynchronousTestCase):
    """The beginning and the end of each page."""

    def test_begins_with_a_sentence(self) -> None:
        """The first thing below the title is a sentence."""
        for page in set(PAGES) - {DOCS / "changelog.rst"}:
            text = page.read_text()
            below = re.search(
                r"^.+\n={3,}\n\n(?:\.\. (?:py:)?currentmodule:: \S+\n\n)?(.*)", text, re.M
            )
            self.assertRegex(below[1] if below else "", r"^(?!\.\.)\S+ \S+ \S+", page)

    def test_leads_on(self) -> None:
        """The last paragraph, before the targets of links, names the page to read next."""
        for page in set(PAGES) - LEADS_NOWHERE:
            text = re.sub(r"^\.\. _.*\n(?:   .*\n)*", "", page.read_text(), flags=re.M)
            last = re.split(r"\n{2,}", text.strip())[-1]
            self.assertRegex(last, r"^Next: .*:(doc|ref):`", page)


class GuidesTests(SynchronousTestCase):
    """The page that lists the how-to guides by task."""

    groups = re.split(r"^   \.\. grid-item-card:: ", INDEX, flags=re.M)[1:]

    def test_lists_each_guide_once(self) -> None:
        """Each guide is in one group, and a group has six guides at most."""
        listed = [re.findall(r"^      \* :doc:`([\w-]+)`", group, re.M) for group in self.groups]
        self.assertLessEqual(max(map(len, listed)), 6)
        pages = [page.stem for page in DOCS.glob("howto/*.rst") if page.stem != "index"]
        self.assertEqual(sorted(chain.from_iterable(listed)), sorted(pages))

    def test_sidebar_has_the_same_groups(self) -> None:
        """The navigation beside each page has the same groups, with the same guides."""
        trees = re.findall(r"^   :caption: (.+)\n\n((?:   howto/.+\n)+)", LANDING.read_text(), re.M)
        shown = {caption: re.findall(r"howto/([\w-]+)", pages) for caption, pages in trees}
        listed = {
            group.splitlines()[0]: re.findall(r"^      \* :doc:`([\w-]+)`", group, re.M)
            for group in self.groups
        }
        self.assertEqual(shown, listed)

    def test_descriptions_add_to_the_titles(self) -> None:
        """No description begins with the first word of its title, or repeats the title."""
        rows = re.findall(r"^      \* :doc:`([\w-]+)`: (.*(?:\n        .*)*)", INDEX, re.M)
        self.assertGreater(len(rows), 20)
        for name, text in rows:
            title = title_of(DOCS / "howto" / f"{name}.rst").lower()
            self.assertNotEqual(text.split()[0].lower(), title.split()[0], name)
            self.assertNotIn(text.lower().rstrip("."), title)

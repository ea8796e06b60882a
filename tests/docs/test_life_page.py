"""The page about the life of a request shows the states of the code, and the ways between them.

What belongs here: comparing the page and its picture with the table of the scope's transitions.
What does not: whether scopes keep to that table.
"""

import re
from xml.etree.ElementTree import parse

from twisted.trial.unittest import SynchronousTestCase

from cancelweb._scopes.states import TRANSITIONS, Event, State

from .._docs import DOCS, section

PAGE = DOCS / "explanation" / "life.rst"
PICTURE = parse(PAGE.with_suffix(".html")).getroot()

Move = tuple[str, str, str]
"""From which state, by which event, to which state."""


def moves_in_the_code() -> set[Move]:
    """The moves in the code's table of transitions."""
    return {
        (state.name, event.name, target.name)
        for state, ways in TRANSITIONS.items()
        for event, target in ways.items()
    }


class PictureTests(SynchronousTestCase):
    """The states and arrows of `life.html`; that they fit is for `real.browsers.test_docs`."""

    arrows = PICTURE.findall(".//div[@data-from]")

    def test_states(self) -> None:
        """The picture has one box for each state, with its name, and no other boxes."""
        boxes = PICTURE.findall(".//div[@data-state]")
        names = [box.get("data-state") for box in boxes]
        self.assertEqual(names, [box.findtext("b") for box in boxes])
        self.assertEqual(sorted(map(str, names)), sorted(state.name for state in State))

    def test_arrows(self) -> None:
        """The picture has one labelled arrow for each transition, and no other arrows."""
        drawn = [
            (arrow.get("data-from"), label.text, arrow.get("data-to"))
            for arrow in self.arrows
            for label in arrow
        ]
        self.assertEqual(len(drawn), len(set(drawn)))
        self.assertEqual(set(drawn), moves_in_the_code())

    def test_events(self) -> None:
        """Each arrow in the picture has a label, and each event is on an arrow."""
        labels = [[label.text for label in arrow] for arrow in self.arrows]
        self.assertTrue(all(labels))
        self.assertEqual({name for each in labels for name in each}, {each.name for each in Event})

    def test_description(self) -> None:
        """The picture's description for readers who cannot see it names each state."""
        description = PICTURE.findtext(".//p[@id='life-description']") or ""
        named = set(re.findall(r"\b[A-Z]{2,}\b", description))
        self.assertEqual(named, {state.name for state in State})


class PageTests(SynchronousTestCase):
    """The states and events that `life.rst` explains."""

    def test_states(self) -> None:
        """The page explains all states, in their order."""
        explained = re.findall(r"^``(\w+)``\n   ", section(PAGE, "The states"), re.M)
        self.assertEqual(explained, [state.name for state in State])

    def test_events(self) -> None:
        """The page's table has all events, in their order."""
        listed = re.findall(r"^   \* - ``(\w+)``$", section(PAGE, "The events"), re.M)
        self.assertEqual(listed, [event.name for event in Event])

    def test_moves(self) -> None:
        """The page's table has each transition once, and no others."""
        first, *rows = re.split(r"^   \* - ``(\w+)``$", section(PAGE, "The events"), flags=re.M)
        self.assertNotIn("`` →", first)
        shown = [
            (source, event, target)
            for event, row in zip(rows[::2], rows[1::2], strict=True)
            for source, target in re.findall(r"``(\w+)`` → ``(\w+)``", row)
        ]
        self.assertEqual(sorted(shown), sorted(moves_in_the_code()))

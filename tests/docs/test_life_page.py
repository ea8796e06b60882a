"""The page about the life of a request shows the states of the code, and the ways between them.

What belongs here: comparing the page and its picture with the table of the scope's transitions.
What does not: whether scopes keep to that table.
"""

import re
from pathlib import Path
from xml.etree.ElementTree import Element, parse

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._scopes.states import TRANSITIONS, Event, State

from .._docs import DOCS, section

PAGE = DOCS / "explanation" / "life.rst"
PICTURE = DOCS / "explanation" / "life.svg"

HEAD = 4
"""How far from its box the line of an arrow may end: there is the arrow's head."""

Move = tuple[str, str, str]
"""From which state, by which event, to which state."""


def moves_in_the_code() -> set[Move]:
    """The moves in the code's table of transitions."""
    return {
        (state.name, event.name, target.name)
        for state, ways in TRANSITIONS.items()
        for event, target in ways.items()
    }


@frozen
class Box:
    """The box of a state in the picture."""

    state: str
    left: float
    top: float
    width: float
    height: float

    @classmethod
    def of(cls, group: Element) -> "Box":
        """The box that is drawn by a group of elements."""
        [rect] = group.findall("{*}rect")
        corner_and_size = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
        [state] = texts(group, "name")
        return cls(state, *corner_and_size)

    def touches(self, x: float, y: float) -> bool:
        """Whether a point is in the box, or so near that an arrow's head spans the rest."""
        is_beside = self.left - HEAD < x < self.left + self.width + HEAD
        return is_beside and self.top - HEAD < y < self.top + self.height + HEAD


def texts(element: Element, kind: str) -> list[str]:
    """The texts of this class in a part of the picture."""
    found = [each for each in element.iter() if kind in (each.get("class") or "").split()]
    return ["".join(each.itertext()) for each in found]


def groups(path: Path, kind: str) -> list[Element]:
    """The groups of this class in a picture."""
    return [
        each for each in parse(path).iterfind(".//{*}g") if kind in each.get("class", "").split()
    ]


def ends_of(group: Element) -> list[tuple[float, float]]:
    """Where the line of an arrow begins and ends."""
    [line] = group.findall("{*}polyline")
    points = [point.split(",") for point in line.get("points", "").split()]
    return [(float(x), float(y)) for x, y in (points[0], points[-1])]


class PictureTests(SynchronousTestCase):
    """The states and arrows that `life.svg` draws."""

    def boxes(self) -> list[Box]:
        """The boxes of all states that are drawn."""
        return [Box.of(group) for group in groups(PICTURE, "state")]

    def state_at(self, point: tuple[float, float]) -> str:
        """The state whose box an arrow touches here."""
        [box] = [box for box in self.boxes() if box.touches(*point)]
        return box.state

    def test_states(self) -> None:
        """The picture has one box for each state, and no other boxes."""
        names = sorted(box.state for box in self.boxes())
        self.assertEqual(names, sorted(state.name for state in State))

    def test_arrows(self) -> None:
        """The picture has one labelled arrow for each transition, and no other arrows."""
        drawn: list[Move] = []
        for group in groups(PICTURE, "move"):
            source, target = map(self.state_at, ends_of(group))
            drawn += [(source, event, target) for event in texts(group, "event")]
        self.assertEqual(sorted(drawn), sorted(moves_in_the_code()))

    def test_events(self) -> None:
        """Each arrow in the picture has a label, and each event is on an arrow."""
        labels = [texts(group, "event") for group in groups(PICTURE, "move")]
        self.assertTrue(all(labels))
        self.assertEqual({name for each in labels for name in each}, {each.name for each in Event})

    def test_description(self) -> None:
        """The picture's description for readers who cannot see it names each state."""
        [description] = parse(PICTURE).findall("{*}desc")
        named = set(re.findall(r"\b[A-Z]{2,}\b", description.text or ""))
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

"""How messages name the user's code and values: files, lines, names, and cut values.

What belongs here: the names of functions of every kind. What does not: the messages.
"""

from functools import partial, wraps
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from cancelweb._checks import shown
from cancelweb._kinds.places import place_of, short_name_of


def decorated(function: Any) -> Any:
    """A decorator of the user's own."""

    @wraps(function)
    def call(*args: object) -> object:
        return function(*args)

    return call


def render(request: object) -> bytes:
    """A function of the user's."""
    return b""


class Page(Resource):
    """A resource with methods of each kind."""

    def render_GET(self, request: object) -> bytes:
        """Render."""
        return b""

    @classmethod
    def make(cls) -> "Page":
        """Make one."""
        return cls()


class Child(Page):
    """A resource that inherits its methods."""


class App:
    """An object that can be called."""

    def __call__(self, request: object) -> bytes:
        """Answer."""
        return b""

    def __repr__(self) -> str:
        return "<app>"


def at(function: Any, name: str) -> str:
    """A place with this name."""
    return f"{__file__}:{function.__code__.co_firstlineno} in {name}"


class PlaceTests(SynchronousTestCase):
    """The file, line and name of a function."""

    def test_functions(self) -> None:
        """A function is named by its own place behind partials and decorators."""
        expected = at(render, "render")
        for function in (render, partial(render), decorated(render), partial(decorated(render))):
            self.assertEqual(place_of(function), expected)

    def test_methods(self) -> None:
        """A method is named by the class of its object, at the line where it is written."""
        self.assertEqual(place_of(Page().render_GET), at(Page.render_GET, "Page.render_GET"))
        self.assertEqual(place_of(Child().render_GET), at(Page.render_GET, "Child.render_GET"))
        self.assertEqual(place_of(Child.make), at(Page.make, "Child.make"))
        self.assertEqual(place_of(Page.render_GET), at(Page.render_GET, "Page.render_GET"))

    def test_an_object_that_can_be_called(self) -> None:
        """An object that can be called is named by its `__call__`."""
        self.assertEqual(place_of(App()), at(App.__call__, "App.__call__"))

    def test_what_is_not_written_in_python(self) -> None:
        """A builtin function has only a name, and what has none is shown."""
        self.assertEqual(place_of(len), "len")
        self.assertEqual(place_of([].append), "list.append")
        self.assertEqual(place_of(5), "5")

    def test_a_function_that_wraps_itself(self) -> None:
        """A function whose decorators go round in a circle is named like any other."""

        def circular(_: object) -> None: ...

        vars(circular)["__wrapped__"] = circular
        self.assertEqual(place_of(circular), at(circular, circular.__qualname__))

    def test_short_names(self) -> None:
        """A name for use in code lacks the function around it."""

        def inner() -> None:
            """Never called."""

        self.assertEqual(short_name_of(inner), "inner")
        self.assertEqual(short_name_of(Page), "Page")


class ShownTests(SynchronousTestCase):
    """Values in messages."""

    def test_is_cut_short(self) -> None:
        """A value of more than 60 characters is cut, and ends with dots."""
        self.assertEqual(shown("a" * 58), f"'{'a' * 58}'")
        self.assertEqual(shown("a" * 59), f"'{'a' * 56}...")

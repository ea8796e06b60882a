"""The docstrings of the tests: each says by itself what happens."""

import re

from twisted.trial.unittest import SynchronousTestCase

from ._cases import DOCSTRINGS

LEANING = re.compile(
    r"(Also|And|But|Either|It|Likewise|Neither|Nor|Or|So|Then|They|Too|One (of|that|which|whose))\b"
)
"""How a sentence begins that cannot be understood without the one before it."""


class DocstringsTests(SynchronousTestCase):
    """A report of failures shows a test's name and docstring, and nothing around them."""

    def test_each_test_has_one(self) -> None:
        """Each test says in one line what happens."""
        tests = [(place, text) for place, text in DOCSTRINGS if " test_" in place]
        self.assertGreater(len(tests), 2000)
        wrong = [place for place, text in tests if len(text.splitlines()) != 1]
        self.assertEqual(wrong, [])

    def test_none_leans_on_another(self) -> None:
        """No docstring begins with a word that needs the docstring before it."""
        leaning = [place for place, text in DOCSTRINGS if LEANING.match(text)]
        self.assertEqual(leaning, [])

"""The linter for the prose of the product, `docs/prose.py`.

What belongs here: its rules, each with the examples that `docs/prose.toml` has of it, and what it
reads in each kind of file. What does not: that the product passes; the session `docs` runs it.
"""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from .._docs import DOCS
from .._servers import REPOSITORY

sys.path.append(str(DOCS))

from passages import prose_of
from prose import ALL, RULES, WORDS, lint, main, product


def rules_against(text: str) -> set[str]:
    """The rules that a text breaks."""
    found = lint([(1, text), (1, "")], ALL)
    return {message.rpartition("[")[2].rstrip("]") for _, message in found}


class RulesTests(SynchronousTestCase):
    """The rules in `docs/prose.toml`."""

    def test_finds_the_bad_example(self) -> None:
        """Each rule on prose finds the bad example beside it."""
        for name, rule in RULES["rules"].items():
            self.assertIn(name, rules_against(rule["bad"]))

    def test_accepts_the_good_example(self) -> None:
        """No rule on prose finds anything in the good examples."""
        for rule in RULES["rules"].values():
            self.assertEqual(rules_against(rule["good"]), set(), rule["good"])

    def test_words(self) -> None:
        """A word with a better one is found, and the message says which that is."""
        [(_, message)] = lint([(1, "All methods but for GET are spared."), (1, "")], ALL)
        self.assertEqual(message, "'but for': write except [word]")

    def test_long_sentences(self) -> None:
        """A sentence of 31 words is too long for users, and one of 30 is not."""
        text = "Work" + " and then" * 14 + " ends."
        self.assertEqual(rules_against(text), set())
        text = "Work" + " and then" * 15 + "."
        self.assertEqual(rules_against(text), {"long-sentence"})

    def test_for_contributors(self) -> None:
        """The length of a sentence does not count in tests and benchmarks."""
        text = "Work" + " and then" * 15 + "."
        self.assertEqual(lint([(1, text), (1, "")], WORDS), [])

    def test_sentences_end(self) -> None:
        """The words of two sentences, or of two paragraphs, do not add up."""
        half = "Work " + "and then " * 10
        self.assertEqual(rules_against(f"{half}stops. {half}stops."), set())
        self.assertEqual(rules_against(f"{half}stops. cancelweb ends {half}."), set())
        lines = [(1, half), (1, ""), (3, half), (3, "")]
        self.assertEqual(lint(lines, ALL), [])

    def test_proselint(self) -> None:
        """The checks of proselint that the rules name are made, and no others."""
        self.assertEqual(
            rules_against("First of all it stops."), {"redundancy.misc.after_the_deadline"}
        )
        self.assertEqual(rules_against('It "stops"... very soon!!!'), set())

    def test_a_finding_across_lines(self) -> None:
        """Words are found across a line break, and at the line in which they begin."""
        lines = [(4, "All methods are spared but"), (5, "for GET."), (5, "")]
        self.assertEqual([number for number, _ in lint(lines, ALL)], [4])


class ReadingTests(SynchronousTestCase):
    """The prose that the linter finds in files."""

    def read(self, name: str, text: str, messages: bool = True) -> list[tuple[int, str]]:
        """The prose of a file with this text, without the ends of paragraphs."""
        path = Path(self.mktemp()).with_suffix(Path(name).suffix)
        path.write_text(dedent(text))
        return [line for line in prose_of(path, messages) if line[1]]

    def test_restructured_text(self) -> None:
        """Code, literals, options and targets of a page are not prose; titles and text are."""
        page = """\
            A title
            =======

            .. _target:

            Call ``nobody()`` or :func:`nobody`, see
            :doc:`the tutorial <nobody>`. For example::

                nobody()

            .. code-block:: python
               :caption: nobody

               nobody()

            * .. literalinclude:: nobody.py
            * An item of `a list <https://nobody>`_.

            .. note:: Take
               note.
            """
        self.assertEqual(
            self.read("page.rst", page),
            [
                (1, "A title"),
                (6, "Call X or X, see"),
                (7, "the tutorial. For example::"),
                (17, "An item of a list."),
                (19, "Take"),
                (20, "note."),
            ],
        )

    def test_definitions(self) -> None:
        """A term and its definition are two paragraphs, and an entry of a docstring is one."""
        path = Path(self.mktemp()).with_suffix(".rst")
        path.write_text("term\n   Its definition.\n\nentry: its\n   description.\n")
        self.assertEqual([text for _, text in prose_of(path)].count(""), 3)

    def test_markdown(self) -> None:
        """Code, literals and addresses of Markdown are not prose; titles, text and cells are."""
        page = """\
            # A title

            Call `nobody()`, see [the *tutorial*](https://nobody).

            ```python
            # nobody
            ```

            | Option | Meaning |
            | --- | --- |
            | `nobody` | what it does |
            """
        self.assertEqual(
            self.read("page.md", page),
            [
                (1, "A title"),
                (3, "Call X, see the tutorial."),
                (9, "Option"),
                (9, "Meaning"),
                (11, "X"),
                (11, "what it does"),
            ],
        )

    def test_python(self) -> None:
        """Docstrings, comments and messages in Python are prose; names and short strings not."""
        module = '''\
            """A module of `nobody`.

            Args:
                nobody: the first
                    argument.
            """

            nobody = "nobody"  # noqa: E501
            # A comment
            # of two lines.
            log.info("nobody", f"there is no {nobody!r} here")
            '''
        docstring = [
            (1, "A module of X."),
            (3, "Args:"),
            (4, "nobody: the first"),
            (5, "argument."),
        ]
        comment = [(9, "A comment"), (10, "of two lines.")]
        self.assertEqual(self.read("module.py", module, messages=False), docstring + comment)
        message = [(11, "there is no X here")]
        self.assertEqual(self.read("module.py", module), docstring + comment + message)

    def test_html(self) -> None:
        """Text and hints of HTML are prose, whatever tags divide them, and scripts are not."""
        page = """\
            <p title="A hint">Some <b>bold</b> text.</p>
            <script>nobody()</script>
            <p>More text.
            """
        lines = self.read("page.html", page)
        self.assertEqual(" ".join(line for _, line in lines), "A hint Some bold text. More text.")
        self.assertEqual(lines[-1], (3, "More text."))

    def test_comments(self) -> None:
        """The comments of a script are prose, and its code is not."""
        script = """\
            # A comment.
            nobody=1 # Another.
            """
        self.assertEqual(self.read("script", script), [(1, "A comment."), (2, "Another.")])


class ProgramTests(SynchronousTestCase):
    """The program that runs the rules."""

    def test_reads_the_product(self) -> None:
        """Without arguments, README, docs, package, examples, tests and scripts are read."""
        names = {str(path.relative_to(REPOSITORY)) for path in product()}
        for name in (
            "README.md",
            ".ci/run",
            "docs/index.rst",
            "docs/howto/snippets/track.py",
            "examples/query.py",
            "noxfile.py",
            "src/cancelweb/_scopes/scope.py",
            "src/cancelweb/demo/page.html",
            "src/cancelweb/status/page.html",
            "tests/project/test_prose.py",
        ):
            self.assertIn(name, names)
        self.assertEqual([name for name in names if "_build" in name], [])

    def test_names_file_and_line(self) -> None:
        """A finding is printed with its file and line, and the program exits with 1."""
        path = Path(self.mktemp()).with_suffix(".md").resolve()
        path.write_text("A title\n\nAll methods but for GET.\n")
        program = subprocess.run(
            [sys.executable, DOCS / "prose.py", path], capture_output=True, text=True
        )
        self.assertEqual(program.returncode, 1)
        shown = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
        self.assertEqual(program.stdout, f"{shown}:3: 'but for': write except [word]\n")

    def test_silent_without_findings(self) -> None:
        """Nothing is printed about good prose, and the program exits with 0."""
        path = Path(self.mktemp()).with_suffix(".md")
        path.write_text("Good prose.\n")
        self.assertEqual(main([str(path)]), 0)

"""What README and docs show is run, and what they list is complete.

What belongs here: comparing pages with files and lists with the code, and running what the README
shows. What does not: the programs of the docs and the examples, which have tests of their own.
"""

import doctest
import inspect
import re
from ast import get_docstring, parse
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

import cancelweb
from cancelweb import (
    CancellingResource,
    ICancellable,
    ICancellableDetails,
    cancel_on_disconnect,
    connections,
    health,
    processes,
    proxy,
    testing,
    upstream,
)
from cancelweb._scopes.parts import Subject
from cancelweb.interfaces import IMonitor
from cancelweb.testing import Connection

from .._docs import (
    DOCS,
    EXAMPLES,
    LANDING,
    OWN_PROGRAMS,
    PAGES,
    PARTS,
    README,
    directives,
    included,
    run,
)
from .._servers import REPOSITORY
from .._visits import connect
from ..project._surface import ENGINES

API = DOCS / "reference" / "api.rst"
SITE = "https://cancelweb.readthedocs.io/en/stable/"
FILES = "https://github.com/cancelweb/cancelweb/blob/main/"
RAW = "https://raw.githubusercontent.com/cancelweb/cancelweb/main/"
MEMBERS = (FunctionType, property)
"""What a class has for its users."""


def snippets_of_readme(language: str) -> list[str]:
    """The code blocks of the README that are in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.M | re.S)


def commands_of(example: Path) -> list[str]:
    """The commands that stand in the docstring of an example."""
    docstring = get_docstring(parse(example.read_text())) or ""
    return re.findall(r"^ +((?:[A-Z]+=\S+ )?(?:python|twist)\w* .+)$", docstring, re.M)


class ShownCodeTests(SynchronousTestCase):
    """Code in README and docs, which is run by some test."""

    def test_included_files_are_run(self) -> None:
        """Each file that a page includes is an example or a program that a test runs."""
        real = REPOSITORY / "tests" / "real"
        driven = [*real.glob("*/test_examples*.py"), real / "system" / "test_interrupted.py"]
        tests = "".join(path.read_text() for path in driven)
        for page in PAGES:
            for path, _ in included(page):
                is_named = re.search(rf"\b{path.stem}\b", tests) is not None
                is_tested = path in OWN_PROGRAMS or (path.parent == EXAMPLES and is_named)
                self.assertTrue(path.exists() and is_tested, (page, path))

    def test_all_files_are_shown(self) -> None:
        """Each Python file of docs and examples is included by a page."""
        shown = {path for page in PAGES for path, _ in included(page)}
        found = [{*EXAMPLES.glob(each)} for each in ("*.py", "*.rpy")]
        found += [{*DOCS.glob(each)} for each in ("*/**/*.py", "*/**/*.rpy")]
        self.assertTrue(all(found))
        # What makes the pictures is run for them, and not shown.
        there = OWN_PROGRAMS.union(*found) - {*DOCS.glob("screenshots/*.py")}
        self.assertEqual(there - shown, set())

    def test_code_in_pages_is_included_or_doctested(self) -> None:
        """A code block in a page is a console, a text or a doctest."""
        for page in PAGES:
            blocks = {e.argument for e in directives(page.read_text()) if e.name == "code-block"}
            self.assertLessEqual(blocks, {"console", "text", "pycon"}, page)

    def test_pictures_are_there_and_small(self) -> None:
        """Each picture that README and docs show exists and is small, and no other does."""
        shown = {
            README.parent / each
            for each in re.findall(rf"(?:src|srcset)=\"{RAW}(\S+)\"", README.read_text())
        }
        for page in PAGES:
            names = re.findall(r"^ *\.\. (?:image|figure):: (\S+\.webp)$", page.read_text(), re.M)
            shown |= {(page.parent / name).resolve() for name in names}
        self.assertEqual(shown, {*DOCS.glob("screenshots/*.webp")})
        for picture in shown:
            self.assertLess(picture.stat().st_size, 100_000, picture)

    def test_all_examples_are_listed(self) -> None:
        """The page of the examples has each program once, and no other."""
        page = (DOCS / "examples.rst").read_text()
        [table] = re.findall(r"\.\. list-table::\n(.*?)^\S", page, re.M | re.S)
        listed = re.findall(r"``(\w+\.\w+)``", table)
        self.assertEqual(sorted(listed), sorted(each.name for each in EXAMPLES.glob("*.*")))

    def test_doctests(self) -> None:
        """The doctests in README and docs give the results that they show."""
        count = 0
        for page in [README, *PAGES]:
            told: list[str] = []
            test = doctest.DocTestParser().get_doctest(page.read_text(), {}, page.name, None, 0)
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
            results = runner.run(test, out=told.append)
            self.assertEqual(results.failed, 0, "".join(told))
            count += results.attempted
        self.assertGreater(count, 0)

    def test_commands_of_examples(self) -> None:
        """Each example, except for parts of others, has a command that the docs show."""
        shown = "".join(page.read_text() for page in PAGES)
        for page in PAGES:
            whole = [path for path, each in included(page) if ":pyobject:" not in each.body]
            shown += "".join(path.read_text() for path in whole)
        for example in {*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.rpy")} - {*PARTS}:
            commands = commands_of(example)
            self.assertTrue(commands, example)
            for command in commands:
                self.assertIn(command, shown)


class ListTests(SynchronousTestCase):
    """Tables and lists in README and docs."""

    def options(self) -> dict[str, bool]:
        """The options of the wrapper, and whether the decorator has them."""
        of_decorator, of_wrapper = (
            [
                name
                for name, each in inspect.signature(entry_point).parameters.items()
                if each.kind is each.KEYWORD_ONLY
            ]
            for entry_point in (cancel_on_disconnect, CancellingResource)
        )
        self.assertLess(set(of_decorator), set(of_wrapper))
        return {name: name in of_decorator for name in of_wrapper}

    def table(self) -> list[tuple[str, str, str]]:
        """The rows of the table of options: option, default, effect."""
        page = (DOCS / "reference" / "options.rst").read_text()
        name = r"^   \* - (?:\| )?``(\w+)``\n(?:       \| .*\n)?"
        return re.findall(name + r"     - (.*)\n     - ((?:.*\n     *)*.*)$", page, re.M)

    def test_option_table_is_complete(self) -> None:
        """The table of options has each option once, marked if it is for wrappers only."""
        mark = "``CancellingResource`` only"
        listed = {name: not text.startswith(mark) for name, _, text in self.table()}
        self.assertEqual(listed, self.options())
        self.assertEqual(len(listed), len(self.table()))

    def test_defaults_are_those_of_docstrings(self) -> None:
        """The numbers in the table of options are those in the decorator's docstring."""
        docstring = inspect.getdoc(cancel_on_disconnect) or ""
        documented = re.findall(
            r"^ +(\w+): (?:.|\n(?! +\w+: ))*?; (\d+)\s+by\s+default", docstring, re.M
        )
        numbers = [(name, default) for name, default, _ in self.table() if default.isdigit()]
        self.assertEqual(sorted(numbers), sorted(documented))

    def test_reference_is_complete(self) -> None:
        """The reference has each public name, and each member of the public interfaces."""
        reference = API.read_text()
        found = re.findall(r"^\.\. (?:auto\w+|py:class):: (?:([\w.]+)\.)?(\w+)", reference, re.M)
        for module in [cancelweb, connections, health, processes, proxy, testing, upstream]:
            of_package = "" if module is cancelweb else module.__name__
            listed = {name for where, name in found if where == of_package}
            self.assertEqual(listed, set(module.__all__))
        members = re.findall(r"^   \.\. py:(?:method|attribute):: (\w+)", reference, re.M)
        interfaces = (ICancellable, ICancellableDetails, IMonitor)
        self.assertEqual(members, [name for each in interfaces for name in each.names()])

    def test_reference_of_modules_is_complete(self) -> None:
        """A module's own page in the reference has its public names and interface methods."""
        for page in (DOCS / "reference").glob("*.rst"):
            if page.stem in {"api", "index", "log", "options"} | ENGINES:
                continue
            module = import_module(f"cancelweb.{page.stem}")
            listed = re.findall(r"^\.\. (?:auto\w+|py:class):: (\w+)", page.read_text(), re.M)
            self.assertEqual(sorted(listed), sorted(module.__all__), page)
            methods = set(re.findall(r"^   \.\. py:method:: (\w+)\(", page.read_text(), re.M))
            interfaces = [vars(module)[name] for name in listed if name.startswith("I")]
            self.assertEqual(methods, {method for each in interfaces for method in each}, page)

    def test_scope_is_documented(self) -> None:
        """The reference has each public method and property of a scope that is for users."""
        members = re.findall(r":members: (track.*)", API.read_text())
        members_of_scope = vars(cancelweb.Scope).items()
        named = {name for name, each in members_of_scope if isinstance(each, MEMBERS)}
        # What the parts of a scope ask of it does not concern users, except how it ended.
        public = {name for name in named - set(vars(Subject)) if not name.startswith("_")}
        self.assertEqual(set(members[0].split(", ")), public | {"ended"})


class ReadmeTests(SynchronousTestCase):
    """Code, sessions and modules in the README."""

    def handler(self, number: int) -> tuple[Connection, Clock]:
        """A client of a resource whose handler is this snippet of the README."""
        clock = Clock()

        class Page(Resource):
            isLeaf = True

            def _delayedRender(self, request: Request) -> None:
                request.write(b"Sorry to keep you waiting.")
                request.finish()

        names = run(
            f"class Shown(Page):\n{snippets_of_readme('python')[number]}",
            Page=Page,
            NOT_DONE_YET=NOT_DONE_YET,
            reactor=clock,
            cancel_on_disconnect=cancel_on_disconnect,
        )
        return connect(names["Shown"](), clock), clock

    def test_before_and_after_do_the_same(self) -> None:
        """The README's two handlers send the page, or cancel their call if the client leaves."""
        for number in range(2):
            waiter, clock = self.handler(number)
            waiter.get()
            clock.advance(5)
            self.assertEqual(waiter.response.body, b"Sorry to keep you waiting.")
            leaver, clock = self.handler(number)
            leaver.get()
            self.assertEqual([call.getTime() for call in clock.getDelayedCalls()][:1], [5])
            leaver.disconnect()
            self.assertNotIn(5, [call.getTime() for call in clock.getDelayedCalls()])

    def test_landing_page(self) -> None:
        """The handlers on the landing page are the README's, and cancel their call like these."""
        for path, snippet in zip(LANDING, snippets_of_readme("python"), strict=False):
            self.assertIn(snippet.strip(), path.read_text())

    def test_wrapping(self) -> None:
        """The README's line wraps the root of a site."""
        line = snippets_of_readme("python")[2]
        names = run(line, Site=Site, CancellingResource=CancellingResource, root=Resource())
        self.assertIsInstance(names["site"].resource, CancellingResource)

    def test_links_are_absolute(self) -> None:
        """Each link of the README is absolute, so that a package index can render it."""
        text = README.read_text()
        links = re.findall(r"^\[.*\]: (\S+)$", text, re.M) + re.findall(r"\]\((\S+)\)", text)
        self.assertGreater(len(links), 10)
        for link in links + re.findall(r"(?:src|srcset)=\"(\S+)\"", text):
            self.assertRegex(link, "^https://")

    def test_links_lead_somewhere(self) -> None:
        """Each link of the README to the docs or to the repository names a page or file of it."""
        text = README.read_text()
        pages = re.findall(rf"{SITE}(\S+)\.html", text)
        files = re.findall(rf"(?:{FILES}|{RAW})([^\s\"]+)", text)
        self.assertTrue(pages and files)
        for path in [*(DOCS / f"{page}.rst" for page in pages), *(REPOSITORY / f for f in files)]:
            self.assertTrue(path.exists(), path)

    def test_sessions_exist(self) -> None:
        """The noxfile has each session that the guide for contributors names."""
        noxfile = (REPOSITORY / "noxfile.py").read_text()
        guide = (REPOSITORY / "CONTRIBUTING.md").read_text()
        sessions = " ".join(re.findall(r"nox -s ((?:\w+ ?)+)", guide)).split()
        self.assertTrue(sessions)
        for session in sessions:
            self.assertIn(f"def {session}(session", noxfile)

    def test_modules_exist(self) -> None:
        """The module that the README runs has a ``__main__``."""
        modules = re.findall(r"python -m (cancel\w+)", README.read_text())
        self.assertTrue(modules)
        for module in modules:
            self.assertIsNotNone(find_spec(f"{module}.__main__"))

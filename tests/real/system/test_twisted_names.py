"""Twisted's private names: each is in one table, and its loss is reported and survived."""

import json
import os
import re
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase

import cancelweb
import twisted
from cancelweb._twisted import checks
from cancelweb._twisted.checks import check, is_missing
from cancelweb._twisted.names import NEEDED
from cancelweb._twisted.needed import Needed

from ..._logs import log_events, of_cancelweb
from ..._servers import REPOSITORY
from ...project._surface import ENGINES
from ._private import classes, defined_in, foreign_names, trees
from ._renamed import BATCHES, DATABASE, IMPORTED

PACKAGE = Path(cancelweb.__file__).parent
SOURCES = classes(trees().values())
NOTHING = Needed("nothing", ("twisted.web.http:Nothing",), "it is as before")
TABLE = {name for row in NEEDED for name in row.names}


def result_of(batch: int) -> list[dict[str, Any]]:
    """The results of replacing the names of a batch, in a process of its own."""
    command = [sys.executable, "-m", "tests.real.system._renamed", str(batch)]
    source = str(PACKAGE.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, *sys.path])}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


@cache
def results() -> list[list[dict[str, Any]]]:
    """The results of all batches, the last of which is adbapi's, made on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(result_of, range(len(BATCHES) + 1)))


def reported(told: list[str]) -> list[str]:
    """The names that warnings are about, each once."""
    return sorted({re.sub(r"^\S+ \S+ has no (\S+), .*$", r"\1", text) for text in told})


def lost_with(names: list[str]) -> list[str]:
    """These names, and those of a class that is among them, as warnings have them."""
    prefixes = tuple(f"{name}." for name in names)
    lost = [each for each in TABLE if each in names or each.startswith(prefixes)]
    return sorted(each.replace(":", ".") for each in lost)


class MissingTests(SynchronousTestCase):
    """A Twisted in which names are missing, as the next one may be."""

    def test_every_name_is_tried(self) -> None:
        """The names that are replaced in these tests are those of the table."""
        tried = [name for batch in [*BATCHES, DATABASE] for name in batch]
        # Those of asyncio are compiled, and cannot be replaced.
        self.assertEqual(sorted(tried), sorted(n for n in TABLE if not n.startswith("asyncio")))

    def test_each_is_reported(self) -> None:
        """Each missing name is warned of when what needs it is imported, and no other."""
        for names, (result,) in zip(BATCHES, results(), strict=False):
            self.assertEqual(reported(result["told"]), lost_with(names))
        for name, result in zip(DATABASE, results()[-1], strict=True):
            self.assertEqual(reported(result["told"]), lost_with([name]))

    def test_the_rest_works(self) -> None:
        """Whatever name is missing, handlers, cancels and other features do what is promised."""
        wrong = [result["wrong"] for batch in results() for result in batch]
        found = {name: text for each in wrong for name, text in each.items()}
        self.assertEqual(found, {}, "\n".join(found.values()))

    def test_a_report_tells_all(self) -> None:
        """The warning of a missing name has the version, the name, what is lost, and what to do."""
        (result,) = results()[0]
        (text,) = [each for each in result["told"] if "H2Stream._conn" in each]
        self.assertRegex(
            text,
            r"^twisted [0-9.]+\S* has no twisted\.web\._http2\.H2Stream\._conn, .* Without it, "
            r"over HTTP/2, the limit on rapid resets \(max_abandoned\) is off\. .*\. Upgrade ",
        )


class ReportTests(SynchronousTestCase):
    """How a name that is missing is reported."""

    def test_where_warnings_are_errors(self) -> None:
        """Where warnings are errors, a missing name is logged, and the import does not fail."""
        events = log_events(self)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.patch(checks, "NEEDED", [NOTHING])
            self.assertFalse(check.__wrapped__("nothing"))
        [event] = of_cancelweb(events)
        self.assertIn(
            "has no twisted.web.http.Nothing, an undocumented name that", formatEvent(event)
        )

    def test_where_no_version_is_known(self) -> None:
        """Without metadata of Twisted, a warning has the version of the package itself."""

        def version(package: str) -> str:
            raise PackageNotFoundError(package)

        self.patch(checks, "version", version)
        self.patch(checks, "NEEDED", [NOTHING])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            check.__wrapped__("nothing")
        self.assertIn(f"twisted {twisted.__version__} has no", str(told[0].message))

    def test_of_asyncio(self) -> None:
        """The warning of a missing name of asyncio has the version of Python."""
        row = Needed("nothing", ("asyncio.futures:Future._nothing",), "it is as before")
        self.patch(checks, "NEEDED", [row])
        with self.assertWarnsRegex(RuntimeWarning, r"^asyncio of Python 3\S+ has no asyncio\.fut"):
            self.assertFalse(check.__wrapped__("nothing"))


class PresentTests(SynchronousTestCase):
    """The Twisted that is installed."""

    def test_has_all(self) -> None:
        """In the installed Twisted, no name is missing, and nothing is warned of."""
        for each in IMPORTED:
            import_module(each)
        for row in NEEDED:
            with warnings.catch_warnings(record=True) as told:
                self.assertTrue(check.__wrapped__(row.use), row.use)
            self.assertEqual(told, [])

    def test_modules_that_are_not_in_use(self) -> None:
        """A name in a module of Twisted that is not imported is missing only if the module is."""
        self.assertFalse(is_missing("twisted.mail.pop3client:Nothing.at_all"))
        self.assertTrue(is_missing("twisted.web._http4:H4Stream.closed"))
        self.assertFalse(is_missing("h4.connection:H4Connection.streams"))


def clashes() -> set[str]:
    """The private names of our classes that their bases in Twisted have as well."""
    return {
        f"{kind.__name__}.{name}"
        for kind in our_classes()
        for base in kind.__mro__
        if base.__module__.startswith("twisted.")
        for name in defined_in(SOURCES[kind.__name__])
        if not is_missing(f"{base.__module__}:{base.__qualname__}.{name}")
    }


def our_classes() -> list[type]:
    """The classes of all modules; without those for engines, unless both engines are installed."""
    has_engines = all(find_spec(each) for each in ("celery", "distributed"))
    left_out = set() if has_engines else {"_engines", *ENGINES}
    names = [path.removesuffix(".py").replace(os.sep, ".") for path in trees()]
    modules = [
        import_module(f"cancelweb.{name.removesuffix('.__init__')}")
        for name in names
        if name not in ("__init__", "__main__") and name.partition(".")[0] not in left_out
    ]
    kinds = [each for module in modules for each in vars(module).values()]
    return [each for each in kinds if isinstance(each, type) and each.__name__ in SOURCES]


class OneWayInTests(SynchronousTestCase):
    """The source of the package: private names of others are read in `_twisted` alone."""

    def test_no_private_name_elsewhere(self) -> None:
        """No module outside of `_twisted` reads a private name that is not cancelweb's."""
        self.assertEqual(list(foreign_names()), [])

    def test_no_private_name_is_taken_twice(self) -> None:
        """No class reuses a private name of its base in Twisted."""
        self.assertEqual(clashes(), set())

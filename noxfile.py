"""What is checked, and how: `nox -l` lists the sessions.

Plain `nox` runs what every change must pass, on this Python; `nox -t ci` runs the rest, which CI
runs as well. The folder below `tests` that a test is in decides which session runs it.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|venv"
# A missing Python is skipped with a message, in CI too.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"

PYPROJECT = nox.project.load_toml("pyproject.toml")
# The Python that runs nox is always among them, so that the tests run on any Python.
PYTHON = "{}.{}".format(*sys.version_info)
PYTHONS = list(dict.fromkeys([*nox.project.python_versions(PYPROJECT), PYTHON]))
DEPENDENCIES = {
    "newest": PYPROJECT["project"]["dependencies"],
    "oldest": [
        *(bound.replace(">=", "==") for bound in PYPROJECT["project"]["dependencies"]),
        # From 26.2 on pyOpenSSL refuses what TLS in Twisted before 26.4 does to a used Context.
        "pyopenssl<26.2",
    ],
}

NOT_QUICK = {"benchmarks", "compat", "real", "typing"}
QUICK = sorted({path.parent.name for path in Path("tests").glob("*/__init__.py")} - NOT_QUICK)
"""Folders whose tests need no browser and no server outside their own process, wait for hardly any
real time, and take a moment."""

MEASURED = ("browsers", "databases", "engines", "servers", "tests")
"""The sessions that measure coverage: the others cover nothing that these do not."""

NO_VALGRIND = "instructions are counted with valgrind: apt-get install valgrind"
CACHES = ("__pycache__/", "/dropin.cache")
"""What Python and Twisted leave next to the modules that they import."""


def group(*names: str) -> tuple[str, ...]:
    """Return the requirements of dependency groups: pip itself knows them only since 25.1."""
    return nox.project.dependency_groups(PYPROJECT, *names)


def mysqlclient() -> tuple[str, ...]:
    """Return the dependency group of what is built with MariaDB's headers, if they are here.

    Elsewhere its tests are skipped, and say what to install. In CI the headers must be here.
    """
    is_needed = os.environ.get("CI") == "true" or shutil.which("mariadb_config")
    return ("mysqlclient",) if is_needed else ()


def strange_files(session: nox.Session) -> set[str]:
    """Return the files in the tree that git does not track, except caches.

    Files that git ignores are among them. Changes of tracked files are not: you may be editing.
    """
    command = ("git", "status", "--porcelain", "--ignored=matching", "--untracked-files=all")
    try:
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        session.warn(f"files that the tests leave in the tree would not be noticed: {error}")
        return set()
    strange = [line for line in told.splitlines() if line.startswith(("??", "!!"))]
    return {line[3:] for line in strange if not line.endswith(CACHES)}


@contextmanager
def clean_tree(session: nox.Session) -> Iterator[None]:
    """Fail the session if the code in this block leaves files in the tree, even if it raises."""
    before = strange_files(session)
    try:
        yield
    finally:
        if left := strange_files(session) - before:
            session.error(f"the tests have left files in the tree: {', '.join(sorted(left))}")


def trial(session: nox.Session, *arguments: str, command: tuple[str, ...] = ("python",)) -> None:
    """Run trial with these arguments, or with what you wrote after `--` instead."""
    temporary = Path(session.create_tmp()).resolve() / "trial"
    options = ("-m", "twisted.trial", f"--temp-directory={temporary}")
    session.run(*command, *options, *(session.posargs or arguments))


def on_all_cores(folders: Iterable[str]) -> tuple[str, ...]:
    """Return what to give to trial for these folders of tests."""
    return (f"-j{os.cpu_count()}", *(f"tests.{folder}" for folder in folders))


def plain_trial(session: nox.Session, folders: Iterable[str], *requirements: str) -> None:
    """Install cancelweb as it is shipped, and run folders of tests."""
    session.install(".", *requirements)
    with clean_tree(session):
        trial(session, *on_all_cores(folders))


def covered_trial(session: nox.Session, folders: Iterable[str], *groups: str) -> None:
    """Install cancelweb as it is shipped, run folders of tests, and keep what they cover."""
    session.install(".", *group("test", *groups))
    # Absolute, for subprocesses that run elsewhere.
    session.env["COVERAGE_FILE"] = str(coverage_of(session, session.name))
    session.run("coverage", "erase")
    with clean_tree(session):
        trial(session, *on_all_cores(folders), command=("coverage", "run"))
    session.run("coverage", "combine", "--quiet")


def coverage_of(session: nox.Session, name: str) -> Path:
    """Return where a session keeps what it has covered."""
    return session.env_dir.resolve().with_name(name) / "coverage"


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff: its rules, and its formatter."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def typing(session: nox.Session) -> None:
    """Run mypy in strict mode, and check programs of users as users check them."""
    session.install(".", *group("typing"))
    session.run("mypy")
    with clean_tree(session):
        trial(session, "tests.typing")


def make_inventory_of_twisted(session: nox.Session) -> None:
    """Make the list of names that the documentation links to, unless it is there.

    Twisted's own documentation publishes the same list; a build without network cannot fetch it.
    """
    directory = Path("docs", "_build", "twisted")
    if not (directory / "objects.inv").exists():
        where = "import twisted; print(*twisted.__path__)"
        package = session.run("python", "-c", where, silent=True) or ""
        session.run(
            *("python", "-m", "pydoctor", "--make-intersphinx", "--project-name=Twisted"),
            *(f"--html-output={directory}", package.strip()),
            silent=True,
        )


def build_docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    make_inventory_of_twisted(session)
    session.run("sphinx-build", "-W", "-n", "--keep-going", "docs", "docs/_build/html")


@nox.session
def docs(session: nox.Session) -> None:
    """Check the prose of the product and build the documentation; a warning is an error."""
    session.install(".", *group("docs"))
    session.run("python", "docs/prose.py")
    build_docs(session)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, except slow tests and tests that need other projects' programs."""
    covered_trial(session, ["real.system", "real.programs", *QUICK])
    session.run("coverage", "report", "--fail-under=0")
    session.log("what is missing there is for the sessions with browsers, databases and servers")
    folders = {path.parent.name for path in Path("tests/real").glob("*/__init__.py")}
    left = ", ".join(sorted(folders - {"programs", "system"}))
    others = "benchmarks, compat, instructions, versions"
    session.log(f"not run here, but by `nox -t ci`: {left}; {others}")


@nox.session(default=False, reuse_venv=True)
def quick(session: nox.Session) -> None:
    """Run the quick tests, or with `-- tests.scopes.test_hooks` any others; takes a minute.

    The environment is kept, and has the working copy of cancelweb.
    """
    session.install("--editable", ".", *group("test"))
    with clean_tree(session):
        trial(session, *on_all_cores(QUICK))


@nox.session(default=False, tags=["ci"])
@nox.parametrize(
    "python,twisted",
    [
        (python, twisted)
        for twisted in DEPENDENCIES
        for python in PYTHONS
        if (python, twisted) != (PYTHON, "newest")  # which the session `tests` has
    ],
)
def versions(session: nox.Session, twisted: str) -> None:
    """Run the tests that depend on them with another Python, or with the oldest Twisted.

    With both, only the quick ones: what is real meets each of the two once.
    """
    is_one_of_them = twisted == "newest" or session.python == PYTHON
    folders = ["real.system", "real.databases", "real.storms"] if is_one_of_them else []
    groups = group("test", "databases", *mysqlclient())
    plain_trial(session, [*folders, *QUICK], *DEPENDENCIES[twisted], *groups)


@nox.session(default=False, tags=["ci"])
def benchmarks(session: nox.Session) -> None:
    """Run the tests of the programs in benchmarks/: that they run, and count right."""
    plain_trial(session, ["benchmarks"], *group("test", "bench"))


@nox.session(default=False, tags=["ci"])
def browsers(session: nox.Session) -> None:
    """Run the tests with Chromium."""
    covered_trial(session, ["real.browsers"])


@nox.session(default=False, tags=["ci"])
def databases(session: nox.Session) -> None:
    """Run the tests with PostgreSQL, which comes with the environment, and with MariaDB."""
    covered_trial(session, ["real.databases"], "databases", *mysqlclient())


@nox.session(default=False, tags=["ci"])
def engines(session: nox.Session) -> None:
    """Run the tests with Celery, Dask and RQ, with workers and a Redis of their own."""
    covered_trial(session, ["real.engines"], "engines")


@nox.session(default=False, tags=["ci"])
def installed(session: nox.Session) -> None:
    """Run the tests that install cancelweb into fresh environments."""
    plain_trial(session, ["real.installed"], *group("test", "installed"))


@nox.session(default=False, tags=["ci"])
def servers(session: nox.Session) -> None:
    """Run the tests with nginx, HAProxy, Envoy, Prometheus, systemd and supervisord."""
    covered_trial(session, ["real.servers"], "databases", "servers")


@nox.session(default=False, tags=["ci"])
def storms(session: nox.Session) -> None:
    """Run the tests with crowds of clients; the session `hammer` has larger ones."""
    plain_trial(session, ["real.storms"], *group("test"))


@nox.session(default=False, tags=["ci"])
def coverage(session: nox.Session) -> None:
    """Fail unless the sessions that measure it cover each line and branch together."""
    changed = max(path.stat().st_mtime for path in Path("src").rglob("*.py"))
    measured = {name: coverage_of(session, name) for name in MEASURED}
    stale = [
        name
        for name, path in measured.items()
        if not path.exists() or path.stat().st_mtime < changed
    ]
    if stale:
        session.error(f"not run since src has changed; run: nox -s {' '.join(stale)}")
    session.install(*group("coverage"))
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()).resolve() / "coverage")
    session.run("coverage", "combine", "--keep", "--quiet", *map(str, measured.values()))
    session.run("coverage", "report")


def made_with() -> dict[str, list[str]]:
    """Return the packages that each Python's table of instructions was made with."""
    readme = Path("benchmarks", "README.md").read_text()
    mark = r"<!-- written by instructions.py on Python ([\d.]+) from here -->"
    tables = re.findall(mark + r"\s+Made with .* on CPython [\w.]+, (.*?);", readme)
    return {python: packages.replace(" ", "==").split(",==") for python, packages in tables}


@nox.session(python=list(made_with()), default=False, tags=["ci"])
def instructions(session: nox.Session) -> None:
    """Fail if requests take more instructions than the tables in benchmarks/README.md say."""
    if shutil.which("valgrind") is None:
        refuse = session.error if os.environ.get("CI") == "true" else session.skip
        refuse(NO_VALGRIND)
    session.install(".", *made_with()[str(session.python)])
    # Two seeds take as long as one where there are two processors.
    session.run("python", "benchmarks/instructions.py", "--check", "--seeds=2", *session.posargs)


@nox.session(default=False, tags=["ci"])
def compat(session: nox.Session) -> None:
    """Run the tests of Twisted's web and of Klein, plain and with every Site wrapped."""
    session.install(".", *group("compat"))
    session.run("python", "-m", "tests.compat")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure what a request costs; takes twenty minutes on a machine with nothing else to do."""
    if shutil.which("valgrind") is None:
        session.error(NO_VALGRIND)
    session.install(".", *group("bench", *mysqlclient()))
    for program in ("inprocess.py", "growth.py", "stopping.py", "rendering.py"):
        session.run("python", f"benchmarks/{program}", *session.posargs)
    # These only show their tables: the committed ones must be made anew on purpose.
    session.run("python", "benchmarks/abandoned_queries.py")
    session.run("python", "benchmarks/instructions.py")
    tables = session.create_tmp()
    session.run("python", "benchmarks/costs.py", "--directory", tables)
    session.run("python", "benchmarks/wasted_work.py", "--directory", tables)
    session.run("python", "benchmarks/processes.py", "--directory", tables)
    session.log(f"the tables of costs, wasted work and processes are in {tables}")


@nox.session(default=False)
def screenshots(session: nox.Session) -> None:
    """Make the pictures of the docs anew, from the real pages in a real browser."""
    session.install(".", *group("test", "docs"))
    build_docs(session)
    pictures = sorted(map(str, Path("docs", "screenshots").glob("*.py")))
    trial(session, "tests.real.browsers.screenshots", *pictures)
    session.log("pictures that no page shows are in docs/_build/screenshots")


@nox.session(default=False)
def hammer(session: nox.Session) -> None:
    """Run many random histories and storms of clients; prints the figures of the docs."""
    session.install(".", *group("test"))
    with clean_tree(session):
        trial(session, "tests.real.storms.hammer")


@nox.session(default=False)
def mutation(session: nox.Session) -> None:
    """Change the core in many small ways, and list the changes that no quick test notices."""
    # Do not install cancelweb itself: mutmut tests a copy with all the changes in it.
    session.install(*DEPENDENCIES["newest"], *group("mutation"))
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Turn the news fragments into the changelog, and build the files to upload."""
    session.install(*group("release"))
    version = session.run("hatch", "version", silent=True) or ""
    session.run("towncrier", "build", "--yes", "--version", version.strip())
    session.run("python", "-m", "build")

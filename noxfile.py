"""What is checked, and how: `nox -l` lists the sessions, plain `nox` runs all that must pass."""

import os
import re
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
# A Python that is not there is skipped with a message, in CI too.
nox.options.error_on_missing_interpreters = False

PYPROJECT = nox.project.load_toml("pyproject.toml")
# The Python that runs nox is always among them: whatever it is, the tests do run.
PYTHONS = list(
    dict.fromkeys([*nox.project.python_versions(PYPROJECT), "{}.{}".format(*sys.version_info)])
)
DEPENDENCIES = {
    "newest": PYPROJECT["project"]["dependencies"],
    "oldest": [
        *(bound.replace(">=", "==") for bound in PYPROJECT["project"]["dependencies"]),
        # From 26.2 on pyOpenSSL refuses what TLS in Twisted before 26.4 does to a used Context.
        "pyopenssl<26.2",
    ],
}


def group(*names: str) -> tuple[str, ...]:
    """Return the requirements of dependency groups: pip itself knows them only since 25.1."""
    return nox.project.dependency_groups(PYPROJECT, *names)


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff: its rules, and its formatter."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def typing(session: nox.Session) -> None:
    """Run mypy in strict mode."""
    session.install(".", *group("typing"))
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    session.install(".", *group("docs"))
    session.run("sphinx-build", "-W", "-n", "--keep-going", "docs", "docs/_build/html")


@nox.session(python=PYTHONS)
@nox.parametrize("twisted", list(DEPENDENCIES))
def tests(session: nox.Session, twisted: str) -> None:
    """Run the tests under trial; every line and branch must be covered.

    What stands after `--` is given to trial in place of `tests`, and coverage is not looked at.
    """
    # Not editable: what is tested is what is shipped.
    session.install(".", *DEPENDENCIES[twisted], *group("test"))
    if session.posargs:
        session.run("python", "-m", "twisted.trial", *session.posargs)
        return
    # Absolute, for subprocesses that run elsewhere; one a session, so that sessions do not mix.
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()).resolve() / "coverage")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "twisted.trial", f"-j{os.cpu_count()}", "tests")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


def made_with() -> dict[str, str]:
    """Return the versions with which the table of instructions was made; others have others."""
    readme = Path("benchmarks", "README.md").read_text()
    report = readme.partition("<!-- written by instructions.py from here -->")[2]
    versions = re.findall(r"(CPython|Twisted|attrs|klein) ([\w.]+)", report.partition(";")[0])
    return dict(versions)


@nox.session(python=made_with()["CPython"].rpartition(".")[0])
def instructions(session: nox.Session) -> None:
    """Fail if requests take more instructions than the table in benchmarks/README.md says."""
    if shutil.which("valgrind") is None:
        session.skip("it counts with valgrind: apt-get install valgrind")
    packages = {name: version for name, version in made_with().items() if name != "CPython"}
    session.install(".", *(f"{name}=={version}" for name, version in packages.items()))
    session.run("python", "benchmarks/instructions.py", "--check", *session.posargs)


@nox.session
def compat(session: nox.Session) -> None:
    """Run the tests of Twisted's web and of Klein, plain and with every Site wrapped."""
    session.install(".", *group("compat"))
    session.run("python", "-m", "tests.compat")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure what a request costs; takes most of an hour, on a machine with nothing else to do."""
    if shutil.which("valgrind") is None:
        session.error("instructions are counted with valgrind: apt-get install valgrind")
    session.install(".", *group("bench"))
    for program in ("inprocess.py", "growth.py", "sockets.py", "waiting.py", "soak.py"):
        session.run("python", f"benchmarks/{program}", *session.posargs)
    # These only show: what is committed of them is to be made anew on purpose.
    session.run("python", "benchmarks/instructions.py")
    tables = session.create_tmp()
    session.run("python", "benchmarks/costs.py", "--directory", tables)
    session.run("python", "benchmarks/wasted_work.py", "--directory", tables)
    session.log(f"the tables of the costs and of wasted work are in {tables}")


@nox.session(default=False)
def screenshots(session: nox.Session) -> None:
    """Make the pictures of the docs anew, from the real pages in a real browser."""
    session.install(".", *group("test"))
    pictures = sorted(map(str, Path("docs", "screenshots").glob("*.py")))
    session.run(
        "python", "-m", "twisted.trial", *(session.posargs or ["tests.screenshots", *pictures])
    )


@nox.session(default=False)
def hammer(session: nox.Session) -> None:
    """Run random histories and storms of clients for long; prints the figures of the docs."""
    session.install(".", *group("test"))
    session.run("python", "-m", "twisted.trial", *(session.posargs or ["tests.hammer"]))


@nox.session(default=False)
def mutation(session: nox.Session) -> None:
    """Change the core in many small ways, and list the changes that no quick test notices."""
    # Not cancelweb itself: what is tested is a copy with all the changes in it.
    session.install(*DEPENDENCIES["newest"], *group("mutation"))
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Turn the news fragments into the changelog, and build what is to be uploaded."""
    session.install(*group("release"))
    session.run("towncrier", "build", "--yes", "--version", PYPROJECT["project"]["version"])
    session.run("python", "-m", "build")

"""The documentation as data: its pages, the code that they show, and the parts of a page.

What belongs here: finding things in README and docs. What does not: knowing what they should be.
"""

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

from attrs import define

from ._servers import REPOSITORY

README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
EXAMPLES = REPOSITORY / "examples"
PARTS = {EXAMPLES / "rq_canceller.py": "rq_report.py"}
"""Examples without a command, each with the example that imports it."""
PAGES = sorted(path for path in DOCS.rglob("*.rst") if "_build" not in path.parts)

# The code in docs that test_docs_programs runs.
TUTORIAL = {
    "Write a slow page": DOCS / "tutorial" / "1_plain.rpy",
    "Stop the page": DOCS / "tutorial" / "2_returned.rpy",
    "Stop a coroutine": DOCS / "tutorial" / "3_coroutine.rpy",
    "Set a deadline": DOCS / "tutorial" / "4_deadline.rpy",
}
TRACK = DOCS / "howto" / "snippets" / "track.py"
WSGI_INPUT = DOCS / "howto" / "snippets" / "wsgi_input.py"
HOOKS = DOCS / "howto" / "snippets" / "hooks.py"
HOOK_PLACES = DOCS / "howto" / "snippets" / "hook_places.py"
ACQUIRE = DOCS / "howto" / "snippets" / "acquire.py"
OBSERVER = DOCS / "howto" / "snippets" / "observer.py"
TEST_OBSERVER = DOCS / "howto" / "snippets" / "test_observer.py"
MIGRATE_BEFORE = DOCS / "howto" / "snippets" / "migrate_before.py"
MIGRATE_AFTER = DOCS / "howto" / "snippets" / "migrate_after.py"
CANCELLER_DETAILS = DOCS / "howto" / "snippets" / "canceller_details.py"
PURE_WAIT = DOCS / "howto" / "snippets" / "pure_wait.py"
STOP_PROGRAM = DOCS / "howto" / "snippets" / "stop_program.py"
RETRY = DOCS / "howto" / "snippets" / "retry.py"
OWN_AUTHORITY = DOCS / "howto" / "snippets" / "own_authority.py"
DRIVER = DOCS / "howto" / "snippets" / "driver.py"
SHIELD = DOCS / "howto" / "snippets" / "shield.py"
CLEANUP = DOCS / "howto" / "snippets" / "cleanup.py"
HEALTH = DOCS / "howto" / "snippets" / "health.py"
OWN_SERVER = DOCS / "howto" / "snippets" / "own_server.py"
STATUS = DOCS / "howto" / "snippets" / "status.py"
ERROR_PAGE_FILE = DOCS / "howto" / "snippets" / "error_page_file.py"
ERROR_PAGE = DOCS / "howto" / "snippets" / "error_page.py"
LIMITS = DOCS / "howto" / "snippets" / "limits.py"
ROLLING = [
    DOCS / "howto" / "snippets" / name for name in ("rolling_nginx.conf", "rolling_haproxy.cfg")
]
VANISHED = DOCS / "howto" / "snippets" / "vanished.py"
HTTP2 = DOCS / "howto" / "snippets" / "http2.py"
TYPED_HANDLERS = DOCS / "howto" / "snippets" / "typed_handlers.py"
TYPED_HOOKS = DOCS / "howto" / "snippets" / "typed_hooks.py"
TYPED_ROWS = DOCS / "howto" / "snippets" / "typed_rows.py"
WRONG_TYPE = DOCS / "howto" / "snippets" / "wrong_type.py"
ASYNCIO = DOCS / "howto" / "asyncio_task.rpy"
LEAVING = [
    DOCS / "howto" / "snippets" / name
    for name in ("leaving_before.py", "leaving_after.py", "test_leaving.py")
]
SUPERVISORD = EXAMPLES / "supervisord.conf"
PROMETHEUS = EXAMPLES / "prometheus.yml"
UNITS = {
    name: EXAMPLES / "systemd" / name
    for name in ("cancelweb.socket", "cancelweb@.service", "cancelweb.target")
}
LANDING = [DOCS / "landing" / name for name in ("before.py", "after.py")]
OWN_PROGRAMS = {
    *LANDING,
    *TUTORIAL.values(),
    TRACK,
    HOOKS,
    HOOK_PLACES,
    MIGRATE_BEFORE,
    MIGRATE_AFTER,
    OBSERVER,
    TEST_OBSERVER,
    WSGI_INPUT,
    ACQUIRE,
    CANCELLER_DETAILS,
    PURE_WAIT,
    STOP_PROGRAM,
    DRIVER,
    RETRY,
    OWN_AUTHORITY,
    SHIELD,
    CLEANUP,
    HEALTH,
    OWN_SERVER,
    STATUS,
    ERROR_PAGE,
    ERROR_PAGE_FILE,
    LIMITS,
    VANISHED,
    HTTP2,
    TYPED_HANDLERS,
    TYPED_HOOKS,
    TYPED_ROWS,
    WRONG_TYPE,
    ASYNCIO,
    *LEAVING,
    *ROLLING,
    # Configurations of other programs, which the tests in real.servers run.
    SUPERVISORD,
    PROMETHEUS,
    *UNITS.values(),
}


@define(frozen=True)
class Directive:
    """A directive of a page that shows code: its name, its argument, and what is under it."""

    name: str
    argument: str
    body: str


def directives(text: str) -> list[Directive]:
    """The directives of a text that show code, in their order."""
    found = re.finditer(
        r"^( *)\.\. (literalinclude|code-block):: *(\S+)\n((?:\1 +.*\n|\n)*)", text + "\n", re.M
    )
    return [Directive(each[2], each[3], dedent(each[4])) for each in found]


def included(page: Path) -> list[tuple[Path, Directive]]:
    """The files that a page includes, or includes parts of."""
    return [
        ((page.parent / each.argument).resolve(), each)
        for each in directives(page.read_text())
        if each.name == "literalinclude"
    ]


def section(page: Path, title: str) -> str:
    """The text between this title of a page and the next."""
    parts = re.split(r"^(.+)\n[-=~]{3,}\n", page.read_text(), flags=re.M)
    return parts[parts.index(title) + 1]


def shown_log(text: str) -> list[str]:
    """The lines of log that a part of a page shows."""
    blocks = [each.body for each in directives(text) if each.argument == "text"]
    return [line for block in blocks for line in block.splitlines() if line]


def as_pattern(line: str) -> str:
    """A pattern for a line of a log that leaves its times open."""
    return re.sub(r"\d+\\\.\d+", r"\\d+\\.\\d+", re.escape(line))


def run(source: str, **names: Any) -> dict[str, Any]:
    """Run code as a module; returns its names."""
    namespace = {"__name__": "snippet", **names}
    exec(source, namespace)
    return namespace

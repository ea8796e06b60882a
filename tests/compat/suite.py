"""One run of suites: `python -m tests.compat.suite plain|wrapped FILE NAME…`.

What came of each test is written to the file. Wrapped, everything that a `Site` serves is inside
a `CancellingResource`, and so is everything that the suites render by their own helpers, without
a Site.
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.trial.reporter import TestResult
from twisted.trial.runner import TestLoader, TrialRunner
from twisted.web.server import Site

from cancelweb import CancellingResource

Outcomes = dict[str, dict[str, str]]
"""For each test what came of it, which may be several things, with the reason or traceback."""

rendered = 0


class Counted(CancellingResource):
    """A wrapper that counts, as proof that it was there."""

    def render(self, request: Any) -> Any:
        """Count."""
        global rendered
        rendered += 1
        return super().render(request)


def wrapped(resource: Any) -> Any:
    """Wrap a resource; some tests serve things that are none."""
    if isinstance(resource, CancellingResource) or not hasattr(resource, "render"):
        return resource
    return Counted(resource)


def wrap_sites() -> None:
    """Wrap whatever is, or becomes, the resource of a Site."""

    def get(site: Site) -> Any:
        return vars(site)["resource"]

    def put(site: Site, resource: Any) -> None:
        vars(site)["resource"] = wrapped(resource)

    # A property takes precedence over what Site.__init__ and tests assign.
    Site.resource = property(get, put)


def wrap_helpers() -> None:
    """Wrap what the suites render themselves; before other tests import these helpers."""
    import klein.test.test_resource as of_klein
    import twisted.web.test._util as of_twisted

    modules: list[Any] = [of_klein, of_twisted]
    for module in modules:
        module._render = rendering(module._render)


def rendering(render: Callable[..., Any]) -> Callable[..., Any]:
    """A helper that renders resources wrapped."""
    return lambda resource, *args, **kwargs: render(wrapped(resource), *args, **kwargs)


class Result(TestResult):
    """Trial's own, which only counts successes."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[tuple[Any, str]] = []

    def addSuccess(self, test: Any) -> None:
        """Note which."""
        super().addSuccess(test)
        self.passed.append((test, ""))

    def done(self) -> None:
        """Part of the interface of reporters."""

    def outcomes(self) -> Outcomes:
        """What came of each test."""
        found: Outcomes = {}
        for kind, entries in self._kinds().items():
            for test, why, *_ in entries:
                text = why.getTraceback() if hasattr(why, "getTraceback") else str(why)
                found.setdefault(test.id(), {})[kind] = text
        return found

    def _kinds(self) -> dict[str, Iterable[Any]]:
        return {
            "passed": self.passed,
            "skipped": self.skips,
            "failed": self.failures,
            "errors": self.errors,
            "expected failures": self.expectedFailures,
            "unexpected successes": self.unexpectedSuccesses,
        }


def main(mode: str, file: str, *names: str) -> None:
    """Run the suites of these names."""
    if mode == "wrapped":
        wrap_sites()
        wrap_helpers()
    result = Result()
    runner = TrialRunner(lambda *args: result, workingDirectory=f"{file}.trial")
    runner.run(TestLoader().loadByNames(list(names), recurse=True))
    Path(file).write_text(json.dumps({"outcomes": result.outcomes(), "rendered": rendered}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What requests leave behind: on the clock, in the log, in scopes, among temporary files.

Takes stock before and after.
"""

from __future__ import annotations

import gc
import os
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher

from .._scopes.bursts import is_end_of_second
from .._still_running import LetGo
from ._clock import DUE, descriptions, function_of, is_the_resources
from ._served import Served


class Leaks:
    """Takes stock when it is made, and later reports what has been added.

    Attributes:
        served: the requests to look at.
        let_go: what scopes have let go, once for each place.
    """

    def __init__(self, clock: Clock) -> None:
        self.served: list[Served] = []
        self.let_go: list[LetGo] = []
        self._clock = clock
        self._own = [function_of(each) for each in _calls(clock)]
        self._errors: list[str] = []
        observer = cast(ILogObserver, _noting(self._errors, self.let_go))
        globalLogPublisher.addObserver(observer)
        self.close = weakref.finalize(self, globalLogPublisher.removeObserver, observer)

    def calls(self) -> list[str]:
        """Delayed calls of functions that were not on the clock before."""
        calls = [each for each in _calls(self._clock) if not self._was_there(each)]
        return descriptions(calls, self._clock)

    def _was_there(self, call: Any) -> bool:
        function = function_of(call)
        return function in self._own or is_the_resources(call) or is_end_of_second(function)

    def open_scopes(self) -> list[str]:
        """Scopes that have not closed, with what runs in them."""
        return [repr(each.scope) for each in self.served if each.scope and not each.exits]

    def errors(self) -> list[str]:
        """The logged failures, each once, including unhandled errors in Deferreds."""
        gc.collect()
        return list(dict.fromkeys(self._errors))


def _noting(errors: list[str], let_go: list[LetGo]) -> Callable[[LogEvent], None]:
    """An observer that keeps the text of failures and what was let go, but no running work."""

    def note(event: LogEvent) -> None:
        if _is_error(event):
            errors.append(_text(event))
        if isinstance(event.get("let_go"), LetGo):
            let_go.append(event["let_go"])

    return note


def _calls(clock: Clock) -> list[Any]:
    return list(clock.getDelayedCalls())


def _is_error(event: LogEvent) -> bool:
    if event.get("log_failure") is not None:
        return True
    is_ours = event.get("log_namespace") == "cancelweb"
    return is_ours and event["log_level"] in (LogLevel.error, LogLevel.critical)


def _text(event: LogEvent) -> str:
    failure = event.get("log_failure")
    if failure is None:
        return formatEvent(event).strip().partition("\n")[0]
    message = failure.getErrorMessage()
    text = failure.type.__name__ + (f": {message}" if message else "")
    is_unhandled = event.get("log_namespace") == "twisted.internet.defer"
    return f"{text} (unhandled in a Deferred)" if is_unhandled else text


def added(after: Iterable[str], before: Iterable[str]) -> list[str]:
    """What there is more of than before. When a delayed call is due makes no difference."""
    left = Counter(map(_timeless, before))
    found = []
    for each in after:
        if left[_timeless(each)] > 0:
            left[_timeless(each)] -= 1
        else:
            found.append(each)
    return found


def _timeless(text: str) -> str:
    return text.partition(DUE)[0]


@contextmanager
def temporary_files() -> Iterator[Callable[[], list[str]]]:
    """Make temporary files go to a new directory; yields a function that lists them."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        tempfile.tempdir = directory
        try:
            yield lambda: _files_in(directory)
        finally:
            tempfile.tempdir = before


def _files_in(directory: str) -> list[str]:
    found = []
    for path, directories, files in os.walk(directory):
        found += [os.path.relpath(os.path.join(path, name), directory) for name in directories]
        found += [os.path.relpath(os.path.join(path, name), directory) for name in files]
    return sorted(found)

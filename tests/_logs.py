"""What is logged in a test.

What belongs here: collecting log events, and picking those of cancelweb. What does not: what they
must say.
"""

from typing import cast

from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase


def log_events(test: SynchronousTestCase) -> list[LogEvent]:
    """The events that are logged from now until the end of the test."""
    events: list[LogEvent] = []
    observer = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(observer)
    test.addCleanup(globalLogPublisher.removeObserver, observer)
    return events


def of_cancelweb(events: list[LogEvent], level: LogLevel | None = None) -> list[LogEvent]:
    """The events that cancelweb logged; of one level, if that is given."""
    return [
        event
        for event in events
        if str(event.get("log_namespace")).startswith("cancelweb")
        and (level is None or event["log_level"] is level)
    ]

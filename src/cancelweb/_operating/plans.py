"""What a drain is asked to do; `draining` does it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen
from attrs.validators import optional

from .._checks import check_seconds, validated

_check = validated(check_seconds)


def _check_close(name: str, value: object) -> None:
    if not callable(value):
        raise TypeError(f"{name} must be a function such as port.stopListening, not {value!r}")


@frozen
class Plan:
    """What a drain was asked to do; wrong values raise here.

    Attributes:
        seconds: how long requests may go on.
        delay: seconds before that, in which new requests are still served, each as the last one of
            its connection.
        exit_after: seconds that the process then has to exit; or None.
        close: called between delay and drain, to close the ports; or None.
    """

    seconds: float = field(validator=_check)
    delay: float = field(validator=_check)
    exit_after: float | None = field(validator=optional(_check))
    close: Callable[[], object] | None = field(validator=optional(validated(_check_close)))

"""How the histories of twins begin: with which request, entry points and options.

What belongs here: strategies. What does not: the use of what they draw, which is in `_twin`.
"""

from typing import Any

from hypothesis import strategies as st

from ._nests import ENTRY_POINTS, decorated, wrapped
from ._noting import LOSING, NOTING, SIMPLE


def ways(**others: Any) -> Any:
    """A strategy for the ways to ask for a page, with other choices for some of their parts."""
    either: dict[str, Any] = {
        "entry points": st.sampled_from([decorated, wrapped]),
        "kind": st.sampled_from([*LOSING, *SIMPLE]),
        "method": st.sampled_from([b"GET", b"GET", b"GET", b"POST"]),
        "entry": st.sampled_from(["at once", "late"]),
        "is plain": st.just(True),
        "timeouts": st.just((None, None)),
        "dry_run": st.sampled_from([False, False, False, True]),
        "told": st.sampled_from(["default", "none"]),
        "hooks": st.just(()),
        "hook": st.sampled_from(["return", "wait"]),
        "monitored": st.just(False),
        "faked outside": st.just(False),
        "listens": st.sampled_from(["", "", "nothing"]),
        "next": st.sampled_from([(), (), ("leave",), ("settle", 0, "end"), ("finish",)]),
    }
    return st.fixed_dictionaries(either | others)


LISTENERS: list[str] = ["nothing", "touch", "finish", "cancel", "settle", "track", "listen", "fire"]


SIMPLEST: dict[str, Any] = {
    "entry points": wrapped,
    "method": b"GET",
    "entry": "at once",
    "is plain": True,
    "timeouts": (None, None),
    "dry_run": False,
    "told": "default",
    "hooks": (),
    "hook": "return",
    "monitored": False,
    "faked outside": True,
    "listens": "",
    "next": (),
}
"""The way to ask for a page that asks for nothing else; it lacks the kind of work."""

PLAIN = ways()
SPARED = ways(
    entry_points=st.just(wrapped),
    method=st.sampled_from([b"GET", b"POST"]),
    dry_run=st.booleans(),
    next=st.sampled_from([("leave",), ("finish",)]),
)
WITH_LIFE = ways(
    timeouts=st.tuples(st.sampled_from([None, 1, 2]), st.none()),
    told=st.sampled_from(["default", "observer", "none"]),
    hooks=st.sampled_from([(), ("on_exit",), ("on_cancel", "on_exit")]),
    monitored=st.booleans(),
)
ANY = ways(
    entry_points=st.sampled_from(ENTRY_POINTS),
    kind=st.sampled_from([None, *NOTING]),
    method=st.sampled_from([b"GET", b"POST", b"HEAD"]),
    entry=st.sampled_from(["at once", "late", "left", "finished"]),
    timeouts=st.tuples(*[st.sampled_from([None, 2, 4])] * 2),
    dry_run=st.booleans(),
    told=st.sampled_from(["default", "observer", "none"]),
    hooks=st.sampled_from([(), ("on_exit",), ("on_cancel", "on_exit")]),
    monitored=st.booleans(),
    **{"faked outside": st.booleans()},
    listens=st.sampled_from(["", *LISTENERS]),
)
"""Ways that lead to the fast path; there, and spare the work; there with a life; and any way."""

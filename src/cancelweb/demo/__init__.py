"""The demonstration behind ``python -m cancelweb``; nothing else imports it.

`work` has the slow work, `site` serves it with the page, `tally` counts for the page, and `tour`
visits the site from the command line.
"""

from __future__ import annotations

import os
import sys

# A placeholder: the documentation has no address yet. pyproject.toml has the same.
DOCS = "https://cancelweb.readthedocs.io/"


def say(text: str) -> None:
    """Print a text at once.

    Raises:
        SystemExit: with status 1, if standard output is closed or full.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        # At its exit the interpreter tries again to write the text, and must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        is_closed = isinstance(error, BrokenPipeError)
        reason = f"Cannot write to standard output: {error.strerror}."
        raise SystemExit(1 if is_closed else reason) from None

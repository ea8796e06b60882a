"""The files that lie beside this module and are part of the page."""

from __future__ import annotations

import re
from importlib.resources import files

from twisted.web.template import XMLString


def asset(name: str) -> bytes:
    """The content of one of the files."""
    return files(__package__).joinpath(name).read_bytes()


def template(name: str) -> XMLString:
    """One of the files as a template, without the white space between its tags.

    The page has thousands of nodes, and each costs time once a second.
    """
    return XMLString(re.sub(rb">\s+<", b"><", asset(name)))

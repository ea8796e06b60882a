"""The files that lie beside this module and are part of the page."""

from __future__ import annotations

import re
from importlib.resources import files

from ._markup import Template


def asset(name: str) -> bytes:
    """The content of one of the files."""
    return files(__package__).joinpath(name).read_bytes()


def _template(text: str) -> Template:
    """A template without the white space between its tags, which would be a third of the page."""
    return Template(re.sub(r"(?<=[>}])[ \n]+(?=[<{])", "", text.strip()))


PAGE = _template(asset("page.html").decode())
"""The page as a whole."""

ROWS = {
    name: _template(text)
    for name, text in re.findall(
        r'<template id="(\w+)">(.*?)</template>', asset("rows.html").decode(), re.DOTALL
    )
}
"""The parts of the page that come any number of times, or only sometimes."""

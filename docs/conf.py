"""How Sphinx builds the documentation: `nox -s docs`."""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import cancelweb

_HERE = Path(__file__).parent

project = "cancelweb"
copyright = "cancelweb contributors"
version = release = cancelweb.__version__

extensions = [
    "myst_parser",  # for CHANGELOG.md
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"cancelweb {release}"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["custom.css"]
# The theme's own choice underlines the name of every class.
pygments_dark_style = "github-dark"

# A copied command has no prompt and no output.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

# Single backquotes in docstrings mean this role.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

# `nox -s docs` makes Twisted's inventory from the installed Twisted: the build needs no network.
intersphinx_mapping = {
    "twisted": (
        "https://docs.twisted.org/en/stable/api/",
        (str(_HERE / "_build" / "twisted" / "objects.inv"), None),
    )
}
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(asyncio|celery|collections|concurrent|distributed|os|prometheus_client|subprocess|typing"
        r"|zope)\..*",
    ),
    # Type variables, and the short names of private classes.
    (r"py:class", r"(cancelweb\..*\.)?[A-Z]\w*"),
]


def _refer_to_options(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Let the table of options stand in for the arguments of the entry points."""
    if name in ("cancelweb.cancel_on_disconnect", "cancelweb.CancellingResource"):
        text = "\n".join(lines)
        lines[:] = re.sub(
            r"^Args:\n(?: .*\n|\n)+", "All options are in :doc:`options`.\n\n", text, flags=re.M
        ).split("\n")


_ELSEWHERE = r"collections|concurrent|os|subprocess|typing|cancelweb\.(?:\w+\.)*_"
_UNREADABLE = {
    rf"~?\b(?:{_ELSEWHERE})[\w.]*\.(\w+)": r"\1",
    r"~(?=\w)": "",
    r"<InterfaceClass ([\w.]+)>": r"\1",
    r" \| (?:Resource|Clock|Monitor|Agent|Response)Methods": "",
    r"<function <lambda>>|NOTHING": "...",
    r"operator\.methodcaller": "methodcaller",
    r"[\w.]*NotGiven \| ": "",
    r"[\w.]*NOT_GIVEN": "...",
}
"""What Sphinx prints of interfaces, of attrs and of private names, and what to show instead."""


def _make_readable(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Return a signature as a user would write it."""
    shown = []
    for each in (signature, returns):
        for pattern, text in _UNREADABLE.items():
            each = re.sub(pattern, text, each) if each else each
        shown.append(each)
    return shown[0], shown[1]


def setup(app: Sphinx) -> None:
    """Connect what this file adds to Sphinx."""
    # Sphinx prints overloads as they are in the source. The pages give these two a signature.
    for module in ("cancelweb._http.decorator", "cancelweb._scopes.shield"):
        analyzer = ModuleAnalyzer.for_module(module)
        analyzer.analyze()
        analyzer.overloads.clear()
    # Before napoleon, which makes the sections into fields.
    app.connect("autodoc-process-docstring", _refer_to_options, priority=400)
    app.connect("autodoc-process-signature", _make_readable)

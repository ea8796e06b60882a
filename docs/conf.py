"""How Sphinx builds the documentation: `nox -s docs`."""

import tomllib
from pathlib import Path

_PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

project = "cancelweb"
copyright = "cancelweb contributors"
version = release = tomllib.loads(_PYPROJECT.read_text())["project"]["version"]

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"cancelweb {release}"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["custom.css"]
# The theme's own choice underlines the name of every class.
pygments_dark_style = "github-dark"

# What stands between single backquotes in the docstrings.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
# The build needs no network, so it cannot know what the documentation of others defines.
nitpick_ignore_regex = [(r"py:.*", r"(asyncio|collections|concurrent|twisted|typing|zope)\..*")]
nitpick_ignore = [("py:obj", name) for name in ("IDelayedCall", "IResource")]
nitpick_ignore += [("py:class", "cancelweb._scopes.checks.NotGiven")]

"""How Sphinx builds the documentation: `nox -s docs`."""

from importlib.metadata import version as version_of

project = "cancelweb"
copyright = "cancelweb contributors"
version = release = version_of("cancelweb")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"cancelweb {release}"

autodoc_member_order = "bysource"
# The build needs no network, so it cannot know what the documentation of others defines.
nitpick_ignore_regex = [(r"py:.*", r"(asyncio|collections|concurrent|twisted|typing|zope)\..*")]

"""The demonstration behind ``python -m cancelweb``; nothing else imports it.

`work` has the slow work, `site` serves it with the page, `tally` counts for the page, and `tour`
visits the site from the command line.
"""

# A placeholder: the documentation has no address yet. pyproject.toml has the same.
DOCS = "https://cancelweb.readthedocs.io/"

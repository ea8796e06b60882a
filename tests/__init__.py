"""The tests of cancelweb, for trial."""

import os
import tempfile

# Hypothesis, once imported, keeps files where it was imported: in the tree, unless it is told.
os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY", os.path.join(tempfile.gettempdir(), "cancelweb-hypothesis")
)

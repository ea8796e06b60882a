"""`cancelweb.dask` without Dask.

What belongs here: what is said where the extra is missing. What does not: all else, for which
`real/engines` has a cluster.
"""

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from .._servers import REPOSITORY


class MissingExtraTests(SynchronousTestCase):
    """The import where Dask is not installed."""

    def test_words(self) -> None:
        """Without distributed, the ImportError says what to install."""
        program = (
            "import sys; sys.modules['distributed'] = None\n"
            "try:\n    import cancelweb.dask\nexcept ImportError as error:\n    print(error)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=REPOSITORY,
        )
        self.assertIn("pip install 'cancelweb[dask]'", ran.stdout, ran.stderr)

"""What `http/test_error_pages.py` imports from here, and `tests/_docs.py` has.

What belongs here: nothing else. Import from `tests/_docs.py`.
"""

from .._docs import ERROR_PAGE, ERROR_PAGE_FILE, run

__all__ = ["ERROR_PAGE", "ERROR_PAGE_FILE", "run"]

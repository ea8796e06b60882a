"""``twist cancelweb``: serves whatever ``twist web`` serves, with cancellation around it.

Re-exports the two names that Twisted's plugins need.
"""

from .making import makeService
from .options import Options

__all__ = ["Options", "makeService"]

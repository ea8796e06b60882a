"""``twist cancelweb``: serves whatever ``twist web`` serves, with cancellation around it.

Re-exports the two names that Twisted's plugins need.
"""

from .options import Options, makeService

__all__ = ["Options", "makeService"]

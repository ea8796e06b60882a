"""How to stop each kind of work, and how to describe it. Knows nothing of scopes or HTTP."""

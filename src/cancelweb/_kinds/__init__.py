"""How to stop each kind of work, and how to describe it. Independent of scopes and HTTP."""

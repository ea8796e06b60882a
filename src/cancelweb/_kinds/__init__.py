"""How each kind of work is stopped, and what can be told of it. Knows no scope and no HTTP."""

"""Private parts of `database`, `threads`, `processes` and `upstream`: work that can be stopped."""

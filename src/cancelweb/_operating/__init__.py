"""Private parts of `monitor`: draining, and connections that are not read."""

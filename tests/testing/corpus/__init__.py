"""Small handlers, with and without a cancellation bug, and what the sweep must say about each."""

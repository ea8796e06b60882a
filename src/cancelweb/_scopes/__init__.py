"""What belongs to a request, and how that ends: work, hooks, limits, a record. Knows no HTTP."""

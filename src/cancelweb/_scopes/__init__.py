"""What belongs to a request, and how that ends: work, hooks, deadlines, a record. Knows no HTTP."""

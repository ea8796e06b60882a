"""Real sockets, processes, signals, namespaces: what depends on Twisted and Python alone."""

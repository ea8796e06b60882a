"""Work that really stops: databases, threads, processes, upstreams, proxies.

Of the package: `_stoppable`, `database`, `threads`, `processes`, `upstream`, `proxy`.
"""

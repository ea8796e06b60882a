"""Private parts of `proxy`: what a reverse proxy passes on of a request and of a response."""

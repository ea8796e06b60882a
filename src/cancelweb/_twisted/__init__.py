"""The private and undocumented names of Twisted that cancelweb uses."""

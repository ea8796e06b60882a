"""Resources that the wrapper leaves alone, such as those of `cancelweb.health`."""


class Uncounted:
    """A base class of resources whose requests have no scope, so that no monitor counts them."""

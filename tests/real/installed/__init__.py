"""Installing cancelweb into fresh environments."""

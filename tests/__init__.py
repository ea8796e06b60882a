"""The tests of cancelweb, for trial."""

"""A server that plays every platform, strictly, for the tests of the activator."""

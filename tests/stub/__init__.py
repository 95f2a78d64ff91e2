"""A server that plays every platform, strictly: for the tests, the benchmarks and the demo."""

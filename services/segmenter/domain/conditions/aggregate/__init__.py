"""`event` with `sum`, `average`, `minimum` or `maximum`: a number over the matching events."""

"""`event` with `distinct`: how many different values the matching events carry."""

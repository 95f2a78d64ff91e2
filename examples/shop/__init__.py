"""A shop with simulated visitors: the demo of the whole path, checked against SQL at its end."""

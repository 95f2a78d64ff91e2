"""How long an estimate takes: `python -m bench.estimate`."""

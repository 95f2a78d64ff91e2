"""Reads tables of BigQuery: a snapshot of one instant, then what changed, interval by interval."""

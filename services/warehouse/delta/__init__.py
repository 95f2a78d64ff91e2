"""Reads Delta tables: a snapshot of one version, then the change data feed."""

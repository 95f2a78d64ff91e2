"""Rows of Delta tables: what the values are."""

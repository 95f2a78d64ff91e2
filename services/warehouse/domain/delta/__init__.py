"""Rows of Delta tables: what the values are, and what the rows of a version say together."""

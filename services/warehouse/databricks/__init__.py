"""Reads Delta tables through a SQL warehouse of Databricks: a snapshot, then the feed."""

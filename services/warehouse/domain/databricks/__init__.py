"""Rows of tables at Databricks: how they are asked for, and what their values are."""

"""Rows of Snowflake: how they are asked for, and what their values are."""

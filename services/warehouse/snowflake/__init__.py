"""Reads tables of Snowflake: a snapshot of one instant, then interval after interval."""

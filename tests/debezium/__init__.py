"""Debezium's real engine against our reader: `make debezium`."""

"""Comparing a value with what a marketer wrote: operators, filters, spans of time."""

"""Suppressing and erasing people: the management listener, and what carries its requests out."""

"""Conditions as SQL over events, trait writes and related rows: the recomputation's side."""

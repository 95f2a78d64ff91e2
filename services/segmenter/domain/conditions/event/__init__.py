"""`event`: how often something happened, within a window."""

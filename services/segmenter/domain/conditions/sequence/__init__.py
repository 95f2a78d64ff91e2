"""`sequence`: steps in order, each within its distance, optionally ended by something absent."""

"""The floor the services stand on: the exact loop, state, delivery, health, settings."""

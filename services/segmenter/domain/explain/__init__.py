"""Why a profile is in a segment or not, when that changes by itself, and what would change it."""

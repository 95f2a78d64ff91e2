"""The segmenter: owner of what a profile is now, and of every entry and exit."""

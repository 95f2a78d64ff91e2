"""What the segmenter alone costs: `make bench-segments`."""

"""What a changed row means: decoding, order, digests and the events that come of it."""

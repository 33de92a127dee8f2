"""`invoke images.list` and `images.preload`."""

"""The commands that bring in what other tools declare."""

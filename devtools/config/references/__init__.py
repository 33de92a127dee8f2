"""References in layer files and overlays to values of the environment."""

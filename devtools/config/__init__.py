"""Reads the files that people write, with positions, and builds the model from them."""

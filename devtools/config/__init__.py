"""Reads hand-written files, with positions, and builds the model from them."""

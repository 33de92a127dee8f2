"""Converts what other tools declare into layers, overlays and lock entries. Pure."""

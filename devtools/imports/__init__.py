"""Converts declarations of other tools into layers, overlays and lock entries. Pure."""

"""Compares objects field by field. Pure."""

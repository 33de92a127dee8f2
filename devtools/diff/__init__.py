"""Compares objects field by field, and redacts what is secret in them. Pure."""

"""Compares what Helm deployed with the live objects."""

"""Compares the objects that Helm deployed with the live ones."""

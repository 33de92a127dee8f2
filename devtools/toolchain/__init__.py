"""Finds the pinned tools, or builds them once into the user's cache."""

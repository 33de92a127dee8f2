"""Moves components between environments, on git branches."""

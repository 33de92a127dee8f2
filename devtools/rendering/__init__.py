"""Renders charts with helm as an install or upgrade would, without changing anything."""

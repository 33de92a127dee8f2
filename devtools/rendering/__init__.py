"""Renders charts with helm as an install or upgrade would, and changes nothing."""

"""Renderers: each draws from the events of a run."""

"""Renderers: folds over the events of a run."""

"""Checks charts and values without a cluster, and finds every fault at once."""

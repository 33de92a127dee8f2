"""Locks that let one process at a time run a stack, change a cluster or build a tool, on one or several machines."""

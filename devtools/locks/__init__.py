"""Locks: who may run a stack, change a cluster or build a tool now, on this machine and on others."""

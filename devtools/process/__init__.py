"""Runs programs: the one place that starts processes, and their input and output streams."""

"""Runs Helm tests and watches hooks, with the logs of their containers."""

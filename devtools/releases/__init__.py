"""Carries out a step for a release on the cluster, and handles its failures."""

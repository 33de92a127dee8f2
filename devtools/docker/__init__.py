"""Clients of the Docker engine and Buildx."""

"""Exports for Flux: sources, HelmReleases, and one Kustomization per layer; pure."""

"""Providers of clusters: k3d, the embedded control plane, or an existing context."""

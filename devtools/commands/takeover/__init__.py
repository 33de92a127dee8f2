"""Inspects the cluster that a GitOps controller will deploy to."""

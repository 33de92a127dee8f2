"""Looks at the cluster that a GitOps controller will deploy to."""

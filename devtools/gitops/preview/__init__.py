"""Previews the Applications that Argo CD makes from exported files, without a cluster."""

"""Previews what Argo CD makes of exported files, without a cluster."""

"""Adapters over the Kubernetes and Docker SDKs, imported only by what needs them."""

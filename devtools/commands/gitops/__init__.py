"""The commands of `invoke gitops.*`, one module each."""

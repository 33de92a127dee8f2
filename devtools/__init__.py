"""Local-dev orchestration for Kubernetes: one graph of layers, run, shown, tested and exported."""

"""Plain manifests and kustomizations of the repository, packaged as Helm charts."""

"""Where the cluster comes from: k3d, the embedded control plane, or an existing context."""

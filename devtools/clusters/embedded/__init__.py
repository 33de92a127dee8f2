"""The embedded cluster: a real control plane, simulated nodes, and a real node if the machine allows it."""

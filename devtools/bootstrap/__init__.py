"""The parts of `invoke bootstrap` besides the cluster: prerequisites, a builder, Tilt in the background."""

"""What `invoke bootstrap` needs besides a cluster: prerequisites, a builder, Tilt in the background."""

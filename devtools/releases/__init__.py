"""What a step does to a release on the cluster, and what it does when that fails."""

"""Commands that review a change before it reaches a cluster."""

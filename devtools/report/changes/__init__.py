"""Shows what a plan changes on the cluster: one document, as text, JSON or Markdown."""

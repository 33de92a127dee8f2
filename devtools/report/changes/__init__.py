"""Shows the changes of a plan to the cluster: one document, as text, JSON or Markdown."""

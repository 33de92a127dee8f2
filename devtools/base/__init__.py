"""Small helpers that import nothing of ours but the errors: files, YAML and JSON, names."""

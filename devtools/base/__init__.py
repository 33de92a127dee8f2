"""Small helpers that import no other package of devtools but the errors: files, YAML and JSON, names."""

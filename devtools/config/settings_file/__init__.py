"""The keys of `devtools.yaml` and the checks beyond their types."""
